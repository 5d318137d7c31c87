//! Builds the agent for a release, in a target directory of its own.
//!
//! The compiler records the paths of sources in panic messages and in the debug information of kernel programs. They are
//! replaced by fixed ones, so that the binary does not depend on the directories of this machine. The kernel programs are built
//! by another cargo inside of a build script, which does not inherit flags; a wrapper around the compiler reaches both.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::architecture::Architecture;
use crate::{debian, step, toolchain, workspace};

/// Time limit for the download of Rust's library.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// Builds the agent and returns its path.
pub(super) fn agent(architecture: Architecture) -> anyhow::Result<PathBuf> {
    toolchain::find().map_err(|reasons| {
        anyhow::anyhow!(
            "an agent without kernel programs must not be packaged: {}; run: cargo xtask setup",
            reasons.join("; ")
        )
    })?;
    let target_dir = workspace::scratch().join("dist-build");
    fs::create_dir_all(&target_dir).with_context(|| format!("create {}", target_dir.display()))?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "glassbox", "--bin", "glassbox"]);
    cargo.arg("--target").arg(architecture.target()).arg("--target-dir").arg(&target_dir);
    cargo.env("RUSTC_WRAPPER", wrapper(&target_dir)?);
    // Flags of this shell must not change the release.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    if Architecture::of_this_machine().ok() != Some(architecture) {
        cross_compile(architecture, &mut cargo)?;
    }
    let what = format!("build the agent for {} (some minutes on the first run)", architecture.debian());
    step::run(&what, &mut cargo)?;
    Ok(target_dir.join(architecture.target()).join("release/glassbox"))
}

/// Installs the linker and Rust's library for another architecture, and sets the linker.
fn cross_compile(architecture: Architecture, cargo: &mut Command) -> anyhow::Result<()> {
    let compiler = architecture.compiler();
    if toolchain::in_path(&compiler).is_none() {
        let package = architecture.compiler_package();
        anyhow::ensure!(
            debian::distribution().is_some(),
            "{compiler}, the linker for {}, is not in PATH: install your distribution's cross compiler",
            architecture.debian()
        );
        let libc = format!("libc6-dev-{}-cross", architecture.debian());
        debian::install("linker for another architecture", &[&package, &libc], debian::Conflicts::Refuse)?;
    }
    let target = architecture.target();
    let variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    cargo.env(variable, &compiler);
    let mut print = Command::new("rustc");
    print.current_dir(workspace::root()).args(["--print", "target-libdir", "--target", &target]);
    let output = print.output().context("ask rustc for its libraries")?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    anyhow::ensure!(
        toolchain::in_path("rustup").is_some(),
        "rustc has no library for {target}, and there is no rustup to install it: install Rust with rustup"
    );
    let mut rustup = Command::new("rustup");
    rustup.current_dir(workspace::root()).args(["target", "add", &target]);
    step::run_within(&format!("install Rust's library for {target}"), &mut rustup, DOWNLOAD)
}

/// Writes the wrapper, and returns its path.
fn wrapper(directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join("rustc-wrapper");
    fs::write(&path, script(&remapped(directory)?)).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))?;
    Ok(path)
}

/// Directories of this machine, and what is recorded instead. The last match wins.
fn remapped(target_dir: &Path) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let home = env::var_os("HOME").map(PathBuf::from).context("read HOME")?;
    let directory = |variable: &str, default: &str| {
        env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from)
    };
    Ok(vec![
        (directory("RUSTUP_HOME", ".rustup").join("toolchains"), "/rust"),
        (directory("CARGO_HOME", ".cargo"), "/cargo"),
        (workspace::root().to_owned(), "/glassbox"),
        (target_dir.to_owned(), "/target"),
    ])
}

fn script(remapped: &[(PathBuf, &str)]) -> String {
    let quoted = |(from, to): &(PathBuf, &str)| {
        let argument = format!("--remap-path-prefix={}={to}", from.display());
        format!(" '{}'", argument.replace('\'', r"'\''"))
    };
    format!("#!/bin/sh\nexec \"$@\"{}\n", remapped.iter().map(quoted).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapper_passes_its_arguments_and_a_path_with_a_quote_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wrapper");
        fs::write(&path, script(&[(PathBuf::from("/it's here"), "/there")])).unwrap();
        let mut shell = Command::new("sh");
        let output = shell.arg(&path).args(["printf", "%s|", "a b"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b|--remap-path-prefix=/it's here=/there|");
    }
}
