//! The kernel's own values for a container, read from its cgroup files.

use std::{fs, path::PathBuf};

/// The cgroup files of the container that a process is in.
pub(super) struct Account {
    pid: u32,
}

impl Account {
    pub(super) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// CPU time used so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> f64 {
        match self.v1("cpuacct") {
            Some(directory) => number(&read(&directory, "cpuacct.usage")) / 1e9,
            None => number(field(&read(&self.v2(), "cpu.stat"), "usage_usec")) / 1e6,
        }
    }

    /// Memory charged to it now, in bytes.
    pub(super) fn memory_bytes(&self) -> f64 {
        match self.v1("memory") {
            Some(directory) => number(&read(&directory, "memory.usage_in_bytes")),
            None => number(&read(&self.v2(), "memory.current")),
        }
    }

    /// Its directory in the v1 hierarchy of a controller, if that hierarchy is mounted.
    fn v1(&self, controller: &str) -> Option<PathBuf> {
        let lines = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap();
        let path = lines.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|one| one == controller).then(|| path.to_owned())
        })?;
        Some(PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}")))
    }

    fn v2(&self) -> PathBuf {
        let lines = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap();
        let path = lines.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        PathBuf::from(format!("/sys/fs/cgroup{path}"))
    }
}

fn read(directory: &std::path::Path, file: &str) -> String {
    let path = directory.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap()
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap()
}
