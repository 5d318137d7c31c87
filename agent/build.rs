//! Builds the kernel programs into `OUT_DIR/glassbox-programs`, which the agent embeds.
//!
//! Without a compiler and linker that can (see `toolchain.rs`) it writes an empty file there and warns, so that
//! checks, documentation and the tests that need no kernel still work; such an agent says that it has no programs.
//! A program that does not compile fails the build.
//!
//! It also tells the agent which commit it is built from ([`commit`]).

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;

#[path = "build/commit.rs"]
mod commit;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// The binary of the package below, hence the file the agent embeds.
const OBJECT: &str = "glassbox-programs";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed={}", toolchain::OVERRIDE);
    println!("cargo:rerun-if-changed=../xtask/src/toolchain.rs");
    commit::tell();
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
    // SAFETY: a build script has one thread until it starts another, and none was started yet.
    unsafe {
        env::set_var("PATH", path);
        // Cargo shows every line of the inner build as a warning: leave only what is one.
        env::set_var("CARGO_TERM_QUIET", "true");
        // Here and not for the whole workspace, where other build scripts would take it for a nightly.
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
    println!("cargo:warning=`cargo xtask setup` installs what building them needs");
    // Never there, so cargo runs this again on each build and sees what setup installed.
    println!("cargo:rerun-if-changed={}", out.join("kernel-programs-left-out").display());
    Ok(())
}
