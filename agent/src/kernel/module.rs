//! Kernel modules, from sysfs.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

fn directory(module: &str) -> PathBuf {
    PathBuf::from("/sys/module").join(module)
}

/// A number that differs between loads of a module; `None` if the module is not loaded.
#[must_use]
pub fn generation(module: &str) -> Option<u64> {
    // The module's directory in sysfs gets another inode number at each load.
    fs::metadata(directory(module)).ok().map(|metadata| metadata.ino())
}

/// The number of open files of a module's devices: its references without those of dependent modules and of its init
/// function. `None` if the module is not loaded or cannot be unloaded.
#[must_use]
pub fn open_files(module: &str) -> Option<u64> {
    let directory = directory(module);
    let references: u64 = fs::read_to_string(directory.join("refcnt")).ok()?.trim().parse().ok()?;
    let dependents = fs::read_dir(directory.join("holders")).map_or(0, |holders| holders.count() as u64);
    let state = fs::read_to_string(directory.join("initstate")).unwrap_or_default();
    let init = u64::from(state.trim() == "coming");
    Some(references.saturating_sub(dependents + init))
}
