//! deploy/packages/man and deploy/packages/completions are generated: from the definitions of the command line, and from the
//! comments of systemd/agent.toml. `GLASSBOX_BLESS=1 cargo test -p glassbox --test manual` writes them.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod commands;
mod completions;
mod configuration;

use std::path::{Path, PathBuf};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares the text with a file below deploy/packages. Writes the file if `GLASSBOX_BLESS` is set.
fn assert_is_file(name: &str, text: &str) {
    let path = in_repository("deploy/packages").join(name);
    if std::env::var_os("GLASSBOX_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == text,
        "{} is out of date; run: GLASSBOX_BLESS=1 cargo test -p glassbox --test manual",
        path.display()
    );
}

/// The names of the files in a directory of deploy/packages, sorted.
fn files_in(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(in_repository("deploy/packages").join(directory)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
