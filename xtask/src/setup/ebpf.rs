//! Installs the compiler and linker for kernel programs: rustup's nightly, or the distribution's packages.
//!
//! Each candidate must compile and link a small program, because a linker with an older LLVM than the compiler's fails only
//! then.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::toolchain::{self, Toolchain};
use crate::{debian, step, workspace};

/// The bpf-linker that uses an installed LLVM, and the LLVM versions that it supports, newest first.
const LINKER: (&str, [u32; 3]) = ("bpf-linker@0.13.0", [23, 22, 21]);
/// The bpf-linker that uses the LLVM bundled with rustup's compiler, and the LLVM version that it supports.
const BUNDLED_LLVM_LINKER: (&str, u32) = ("bpf-linker@0.10.3", 22);
/// Debian packages of the compiler, the library sources and cargo.
const COMPILERS: [[&str; 3]; 2] =
    [["rustc-web", "rust-web-src", "cargo-web"], ["rustc", "rust-src", "cargo"]];
/// Other Debian packages that the build of bpf-linker needs.
const LIBRARIES: [&str; 2] = ["libzstd-dev", "zlib1g-dev"];
/// Sysroot of the distribution's compiler.
const SYSROOT: &str = "/usr";

/// Installs a toolchain unless a working one is found.
pub(super) fn ensure() -> anyhow::Result<()> {
    if let Ok(found) = toolchain::find()
        && works(&found)
    {
        return Ok(());
    }
    if let Ok(name) = env::var(toolchain::OVERRIDE) {
        bail!(
            "{} is set to {name}, which cannot build kernel programs: unset the variable or fix the toolchain",
            toolchain::OVERRIDE
        );
    }
    match use_nightly() {
        Ok(()) => return Ok(()),
        Err(error) => step::note(&format!("cannot use nightly: {error:#}")),
    }
    use_distribution()
}

fn use_nightly() -> anyhow::Result<()> {
    let rustup = toolchain::in_path("rustup").context("rustup is not installed")?;
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new(&rustup);
        command.args(arguments);
        command
    };
    if toolchain::compiler(Some("nightly")).is_err() {
        let add = ["component", "add", "rust-src", "--toolchain", "nightly"];
        let install = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"];
        if rustup(&["run", "nightly", "rustc", "-V"]).output().is_ok_and(|output| output.status.success()) {
            step::run_within("add rust-src to nightly", &mut rustup(&add), Duration::from_secs(120))?;
        } else {
            step::run_within("install nightly", &mut rustup(&install), Duration::from_secs(400))?;
        }
    }
    let compiler = toolchain::compiler(Some("nightly")).map_err(anyhow::Error::msg)?;
    if !toolchain::linker().is_some_and(|linker| works(&Toolchain { compiler: compiler.clone(), linker })) {
        let llvm = llvm_of(&compiler.rustc)?;
        if Path::new(&config_of(llvm)).exists() {
            install_linker(llvm)?;
        } else if llvm == BUNDLED_LLVM_LINKER.1 {
            cargo_install(BUNDLED_LLVM_LINKER.0, &[], None)?;
        } else {
            bail!("no bpf-linker supports LLVM {llvm} of nightly");
        }
        let linker = toolchain::linker().context("find the bpf-linker just installed")?;
        anyhow::ensure!(
            works(&Toolchain { compiler, linker }),
            "the installed bpf-linker does not work with nightly"
        );
    }
    if toolchain::compiler(Some(toolchain::LINKED)).is_ok() {
        let what = format!("remove toolchain {}, which nightly replaces", toolchain::LINKED);
        step::run(&what, &mut rustup(&["toolchain", "uninstall", toolchain::LINKED]))?;
    }
    Ok(())
}

fn use_distribution() -> anyhow::Result<()> {
    if debian::distribution().is_none() {
        bail!(
            "this distribution is not supported. With rustup and the LLVM version of nightly, run:\n  \
             rustup toolchain install nightly --component rust-src\n  cargo install bpf-linker"
        );
    }
    if COMPILERS[0].iter().any(|package| debian::candidate(package).is_none()) {
        debian::refresh();
    }
    let offered = |package: &str| debian::candidate(package).unwrap_or_default();
    let new_enough = |names: &&[&str; 3]| names.iter().all(|name| toolchain::is_new_enough(&offered(name)));
    let compiler = COMPILERS.iter().find(new_enough).with_context(|| {
        format!("find packages of Rust {} or newer with library sources", toolchain::OLDEST)
    })?;
    let llvm = *LINKER
        .1
        .iter()
        .find(|llvm| !offered(&format!("llvm-{llvm}-dev")).is_empty())
        .with_context(|| format!("find a package llvm-N-dev with N in {:?}", LINKER.1))?;
    let llvm_package = format!("llvm-{llvm}-dev");
    let packages: Vec<&str> =
        compiler.iter().copied().chain([llvm_package.as_str()]).chain(LIBRARIES).collect();
    debian::install("compiler and LLVM for the kernel programs", &packages, debian::Conflicts::Refuse)?;

    if toolchain::in_path("rustup").is_some() && toolchain::compiler(Some(toolchain::LINKED)).is_err() {
        let mut link = Command::new("rustup");
        link.args(["toolchain", "link", toolchain::LINKED, SYSROOT]);
        step::run(&format!("link {SYSROOT} as rustup toolchain {}", toolchain::LINKED), &mut link)?;
    }
    if toolchain::find().is_ok_and(|found| works(&found)) {
        return Ok(());
    }
    install_linker(llvm)?;
    let found = toolchain::find().map_err(|reasons| anyhow::anyhow!("{}", reasons.join("; ")))?;
    probe(&found)
}

fn install_linker(llvm: u32) -> anyhow::Result<()> {
    let feature = format!("llvm-{llvm}");
    cargo_install(LINKER.0, &["--no-default-features", "--features", &feature], Some(&prefix_of(llvm)))
}

fn cargo_install(package: &str, features: &[&str], llvm_prefix: Option<&str>) -> anyhow::Result<()> {
    let mut command = workspace::cargo();
    command.args(["install", "--locked", "--force", package]).args(features);
    command.arg("--target-dir").arg(workspace::scratch().join("bpf-linker"));
    if let Some(prefix) = llvm_prefix {
        command.env("LLVM_PREFIX", prefix);
    }
    step::run(&format!("build and install {package} (a few minutes)"), &mut command)
}

fn prefix_of(llvm: u32) -> String {
    format!("/usr/lib/llvm-{llvm}")
}

fn config_of(llvm: u32) -> String {
    format!("{}/bin/llvm-config", prefix_of(llvm))
}

/// Major LLVM version of a compiler.
fn llvm_of(rustc: &Path) -> anyhow::Result<u32> {
    let output =
        Command::new(rustc).arg("-vV").output().with_context(|| format!("run {}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version.and_then(|version| version.split('.').next()?.parse().ok());
    major.with_context(|| format!("read the LLVM version of {}", rustc.display()))
}

fn works(toolchain: &Toolchain) -> bool {
    let result = probe(toolchain);
    if let Err(error) = &result {
        step::note(&format!("{error:#}"));
    }
    result.is_ok()
}

/// Compiles and links a small kernel program.
fn probe(toolchain: &Toolchain) -> anyhow::Result<()> {
    const MANIFEST: &str =
        "[package]\nname = \"probe\"\nedition = \"2024\"\n[workspace]\n[profile.release]\ndebug = 2\n";
    const PROGRAM: &str = "#![no_std]\n#![no_main]\n\
        #[unsafe(no_mangle)]\n#[unsafe(link_section = \"socket\")]\npub extern \"C\" fn probe() -> u32 { 0 }\n\
        #[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n";
    let dir = workspace::scratch().join("probe");
    fs::create_dir_all(dir.join("src")).context("create the probe's directory")?;
    // Rewriting the files makes cargo link again, which tests the linker.
    fs::write(dir.join("Cargo.toml"), MANIFEST).context("write the probe's manifest")?;
    fs::write(dir.join("src/main.rs"), PROGRAM).context("write the probe")?;

    let mut command = match toolchain::in_path("rustup") {
        Some(rustup) => {
            let mut command = Command::new(rustup);
            command.args(["run", &toolchain.compiler.name, "cargo"]);
            command
        }
        None => Command::new("cargo"),
    };
    command.args(["build", "--release", "-Z", "build-std=core", "--target", "bpfel-unknown-none"]);
    command.current_dir(&dir).arg("--target-dir").arg(dir.join("target"));
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Cdebuginfo=2\x1f-Clink-arg=--btf");
    if toolchain.compiler.bootstrap {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let linker_dir = toolchain.linker.parent().map(Path::to_owned);
    let path = env::join_paths(env::split_paths(&path).chain(linker_dir)).context("extend PATH")?;
    // Cargo sets these variables for its children, but the probe needs another compiler.
    command.env("PATH", path).env_remove("RUSTC").env_remove("CARGO").env_remove("CARGO_TARGET_DIR");
    step::run(&format!("build a kernel program with {}", toolchain.compiler.name), &mut command)
}
