//! A disk that hangs: a file system on a loop device, frozen as for a snapshot of the device. Writers wait in
//! uninterruptible sleep until it is thawed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// The file system. It is thawed and unmounted when it is dropped.
pub(super) struct Disk {
    directory: tempfile::TempDir,
}

const SIZE_BYTES: u64 = 32 << 20;

impl Disk {
    /// Creates and mounts the file system.
    ///
    /// # Errors
    /// The reason to skip this part of a test.
    pub(super) fn new() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let image = directory.path().join("image");
        let made = File::create(&image).and_then(|file| file.set_len(SIZE_BYTES));
        made.map_err(|error| format!("make {}: {error}", image.display()))?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let disk = Self { directory };
        let mount = disk.mount();
        std::fs::create_dir(&mount).map_err(|error| format!("make {}: {error}", mount.display()))?;
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]))?;
        Ok(disk)
    }

    fn mount(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// A file on it.
    pub(super) fn file(&self) -> PathBuf {
        self.mount().join("file")
    }

    /// Stops all writers.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub(super) fn freeze(&self) {
        run(&mut fsfreeze("--freeze", &self.mount())).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets the writers go on.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub(super) fn thaw(&self) {
        run(&mut fsfreeze("--unfreeze", &self.mount())).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn fsfreeze(what: &str, mount: &Path) -> Command {
    let mut command = Command::new("fsfreeze");
    command.arg(what).arg(mount);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("run {command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {errors}"))
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may not be frozen, or not mounted.
        let _ = run(&mut fsfreeze("--unfreeze", &self.mount()));
        let _ = run(Command::new("umount").arg("--lazy").arg(self.mount()));
    }
}
