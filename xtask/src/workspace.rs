//! Paths of the workspace: sources, cargo's target directory, and the directory for xtask's downloads and builds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// `target/xtask`: xtask's downloads and builds. It can be deleted; they are then repeated.
pub(crate) fn scratch() -> PathBuf {
    target().join("xtask")
}

/// Cargo with the root of the repository as working directory.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// `cargo test`, always with the whole workspace selected: cargo unifies the features of the selected packages, so with
/// others selected it would compile a hundred crates once more, the agent among them. `--lib`, `--bin` and `--test` limit
/// what is built.
pub(crate) fn cargo_test() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace"]);
    command
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
