//! A memory limit for a process under test, set by a memory cgroup.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use crate::cgroup::{Cgroup, ROOT, v2_root};

/// The limit. When dropped, the processes in its cgroup are killed, and the cgroup is removed.
pub struct MemoryLimit {
    cgroup: Cgroup,
    /// The file that counts OOM kills.
    events: &'static str,
}

impl MemoryLimit {
    /// Sets a limit in bytes. `None` without root or a memory controller.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        let name = format!("glassbox-memory-{}", crate::cgroup::fresh_id().get(..16)?);
        let v1 = Path::new(ROOT).join("memory");
        let (root, file, events) = match v1.join("cgroup.procs").exists() {
            true => (v1, "memory.limit_in_bytes", "memory.oom_control"),
            false => (v2_root()?, "memory.max", "memory.events"),
        };
        if events == "memory.events" {
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        let cgroup = Cgroup::new(&root, &name).ok()?;
        fs::write(cgroup.path().join(file), bytes.to_string()).ok()?;
        Some(Self { cgroup, events })
    }

    /// Makes the command start its process in the cgroup.
    ///
    /// # Panics
    /// If the cgroup cannot be entered.
    pub fn confine(&self, command: &mut Command) {
        let mut processes = File::options()
            .write(true)
            .open(self.cgroup.path().join("cgroup.procs"))
            .unwrap_or_else(|error| panic!("enter a memory cgroup: {error}"));
        // SAFETY: between fork and exec only write(2) is called, on a descriptor that was opened before.
        unsafe { command.pre_exec(move || processes.write_all(b"0")) };
    }

    /// The number of processes that were killed because of the limit.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let text = fs::read_to_string(self.cgroup.path().join(self.events)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(u64::MAX)
    }
}
