//! A container that no runtime has created: the cgroups that one would have, for processes that the test starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cgroup::{Cgroup, ROOT, fresh_id, v2_root},
    docker::is_root,
    worker::{Work, Worker},
};

/// The cgroups. Their processes are killed when it is dropped.
pub struct ProcessContainer {
    /// The container's ID.
    pub id: String,
    cgroups: Vec<Cgroup>,
}

impl ProcessContainer {
    /// Creates the cgroups. On a hybrid host, a container has one in each hierarchy.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn new() -> Result<Self, String> {
        Self::with_id(fresh_id())
    }

    /// Creates the cgroups of the container with this ID.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn with_id(id: String) -> Result<Self, String> {
        let v2 = v2_root().filter(|_| is_root()).ok_or("needs root and a v2 hierarchy")?;
        let v1 = ["cpu", "cpuacct", "memory", "pids"].map(|controller| Path::new(ROOT).join(controller));
        let trees = v1.into_iter().filter(|tree| tree.join("cgroup.procs").exists()).chain([v2]);
        let cgroups = trees.map(|tree| Cgroup::new(&tree, &format!("docker/{id}")));
        let cgroups = cgroups.collect::<Result<_, _>>().map_err(|error| format!("make a cgroup: {error}"))?;
        Ok(Self { id, cgroups })
    }

    /// The directory of its cgroup in the v2 hierarchy.
    ///
    /// # Panics
    /// Never: the cgroup was created last.
    #[must_use]
    pub fn v2(&self) -> PathBuf {
        self.cgroups.last().unwrap_or_else(|| panic!("no cgroup")).path().to_owned()
    }

    /// Starts a worker in the cgroups. It has stopped itself until [`Worker::go`].
    ///
    /// # Panics
    /// If it cannot be moved.
    #[must_use]
    pub fn worker(&self, work: Work) -> Worker {
        let (v2, v1) = self.cgroups.split_last().unwrap_or_else(|| panic!("no cgroup"));
        let worker = Worker::start(v2, work, None);
        for cgroup in v1 {
            let entered = cgroup.enter(worker.pid);
            entered.unwrap_or_else(|error| panic!("enter {}: {error}", cgroup.path().display()));
        }
        worker
    }

    /// Limits it to this share of one CPU.
    ///
    /// # Errors
    /// If no hierarchy has the cpu controller.
    pub fn limit_cpu(&self, share: f64) -> Result<(), String> {
        let quota_us = (share * 100_000.0) as u64;
        let files = [("cpu.max", format!("{quota_us} 100000")), ("cpu.cfs_quota_us", quota_us.to_string())];
        let written = self.cgroups.iter().flat_map(|cgroup| {
            files.iter().map(|(file, text)| (cgroup.path().join(file), text)).collect::<Vec<_>>()
        });
        let mut written = written.filter(|(file, text)| file.exists() && fs::write(file, text).is_ok());
        written.next().map(|_| ()).ok_or_else(|| "needs the cpu controller".to_owned())
    }

    /// A command that enters the cgroups and then becomes `program`, with its arguments and environment.
    #[must_use]
    pub fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("sh");
        let script = "while [ \"$1\" != -- ]; do echo $$ > \"$1\" || exit; shift; done; shift; exec \"$@\"";
        command.args(["-c", script, "sh"]);
        command.args(self.cgroups.iter().map(|cgroup| cgroup.path().join("cgroup.procs"))).arg("--");
        command.arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}
