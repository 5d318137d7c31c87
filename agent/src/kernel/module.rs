//! Kernel modules as sysfs shows them.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

fn directory(module: &str) -> PathBuf {
    PathBuf::from("/sys/module").join(module)
}

/// Tells one load of a module from another; `None` if it is not loaded.
#[must_use]
pub fn generation(module: &str) -> Option<u64> {
    // Sysfs gives every directory another inode number.
    fs::metadata(directory(module)).ok().map(|metadata| metadata.ino())
}

/// References to a module that are neither those of modules that depend on it nor that of its init function: open files
/// of its devices. `None` if the module is not loaded or cannot be unloaded.
#[must_use]
pub fn open_files(module: &str) -> Option<u64> {
    let directory = directory(module);
    let references: u64 = fs::read_to_string(directory.join("refcnt")).ok()?.trim().parse().ok()?;
    let dependents = fs::read_dir(directory.join("holders")).map_or(0, |holders| holders.count() as u64);
    let state = fs::read_to_string(directory.join("initstate")).unwrap_or_default();
    let init = u64::from(state.trim() == "coming");
    Some(references.saturating_sub(dependents + init))
}
