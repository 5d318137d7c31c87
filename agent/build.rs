//! Builds the kernel programs into `OUT_DIR/glassbox-programs`, which the agent embeds.
//!
//! Without a suitable compiler and linker (see `toolchain.rs`), it writes an empty file instead and prints a warning,
//! so that checks, documentation and tests without a kernel still work. Such an agent reports that it has no programs.
//! A program that does not compile fails the build.
//!
//! It also passes the commit to the compiler ([`commit`]).

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;

#[path = "build/commit.rs"]
mod commit;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// The binary of the package below, and so the name of the file that the agent embeds.
const OBJECT: &str = "glassbox-programs";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed={}", toolchain::OVERRIDE);
    println!("cargo:rerun-if-changed=../xtask/src/toolchain.rs");
    commit::set_variables();
    let out = PathBuf::from(env::var_os("OUT_DIR").context("read OUT_DIR")?);
    match toolchain::find() {
        Ok(found) => build(&found),
        Err(reasons) => leave_out(&out, &reasons),
    }
}

fn build(found: &toolchain::Toolchain) -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed={}", found.compiler.rustc.display());
    println!("cargo:rerun-if-changed={}", found.linker.display());
    let linker_dir = found.linker.parent().unwrap_or(Path::new("/"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path =
        env::join_paths(env::split_paths(&path).chain([linker_dir.to_owned()])).context("extend PATH")?;
    // SAFETY: this build script has not started any other thread.
    unsafe {
        env::set_var("PATH", path);
        // Cargo shows every line of the inner build as a warning, so only real warnings should be printed.
        env::set_var("CARGO_TERM_QUIET", "true");
        // Not set for the whole workspace, because other build scripts would then assume a nightly compiler.
        if found.compiler.bootstrap {
            env::set_var("RUSTC_BOOTSTRAP", "1");
        }
    }
    let package = aya_build::Package {
        name: "glassbox-ebpf",
        root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../agent-ebpf"),
        ..Default::default()
    };
    aya_build::build_ebpf([package], aya_build::Toolchain::Custom(&found.compiler.name))
        .with_context(|| format!("build the kernel programs with {}", found.compiler.name))
}

fn leave_out(out: &Path, reasons: &[String]) -> anyhow::Result<()> {
    fs::write(out.join(OBJECT), []).context("write an empty object")?;
    println!("cargo:warning=the kernel programs are left out: {}", reasons.join("; "));
    println!("cargo:warning=run `cargo xtask setup` to install the tools that build them");
    // This file never exists, so cargo runs this script on every build and finds the tools once setup has installed
    // them.
    println!("cargo:rerun-if-changed={}", out.join("kernel-programs-left-out").display());
    Ok(())
}
