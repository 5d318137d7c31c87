//! A container without a runtime: a cgroup with the name of a Docker container under systemd, and programs in it that are
//! recorded.

use std::{
    fs::{self, OpenOptions},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use super::record::Record;
use crate::cgroup::{Cgroup, v2_root};

/// The paths of the client and the recorder in guests of `cargo xtask vm`.
const CLIENT: &str = "/bin/driver-client";
const RECORDER: &str = "/lib/ioctl-recorder.so";

/// The number of digits of an ID that the agent exports as the name.
const NAME_BYTES: usize = 12;

/// An ID whose first digits are unique in this process.
fn id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{number:08x}{:08x}{:0>48}", std::process::id(), "cd")
}

/// A container.
pub struct Container {
    id: String,
    cgroup: Cgroup,
    directory: TempDir,
}

impl Default for Container {
    fn default() -> Self {
        Self::new()
    }
}

impl Container {
    /// Creates the cgroup.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn new() -> Self {
        let root = v2_root().unwrap_or_else(|| panic!("find cgroup v2"));
        let id = id();
        let cgroup = Cgroup::new(&root, &format!("system.slice/docker-{id}.scope"));
        let cgroup = cgroup.unwrap_or_else(|error| panic!("make a cgroup: {error}"));
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
        Self { id, cgroup, directory }
    }

    /// Its name in the metrics: the first digits of its ID, because no runtime has a name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id[..NAME_BYTES]
    }

    /// Runs the client until it exits.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, arguments: &[&str]) {
        self.run_program(CLIENT, arguments);
    }

    /// Runs any program until it exits, and returns its exit code.
    ///
    /// # Panics
    /// If a signal ends it.
    pub fn run_any(&self, program: &str, arguments: &[&str]) -> i32 {
        let status = self.start(program, arguments).wait();
        let status = status.unwrap_or_else(|error| panic!("wait for {program}: {error}"));
        status.code().unwrap_or_else(|| panic!("{program} {arguments:?}: {status}"))
    }

    fn run_program(&self, program: &str, arguments: &[&str]) {
        let code = self.run_any(program, arguments);
        assert_eq!(code, 0, "{program} {arguments:?}");
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Child {
        let procs = OpenOptions::new().write(true).open(self.cgroup.path().join("cgroup.procs"));
        let procs = procs.unwrap_or_else(|error| panic!("open cgroup.procs: {error}"));
        let mut command = Command::new(program);
        command.args(arguments).env("LD_PRELOAD", RECORDER).env("IOCTL_RECORD", self.file());
        let descriptor = procs.as_raw_fd();
        // SAFETY: between fork and exec one system call is made, on a descriptor that is open until after `spawn`.
        unsafe {
            command.pre_exec(move || {
                // 0 moves the writing process itself.
                if libc::write(descriptor, b"0".as_ptr().cast(), 1) == 1 {
                    return Ok(());
                }
                Err(std::io::Error::last_os_error())
            });
        }
        command.spawn().unwrap_or_else(|error| panic!("start {program}: {error}"))
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("record")
    }

    /// Everything that the recorder wrote.
    ///
    /// # Panics
    /// If it is not a record.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        records(&self.file())
    }
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    text.lines().map(|line| line.parse().unwrap_or_else(|error| panic!("{error}"))).collect()
}
