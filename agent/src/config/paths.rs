//! `[paths]`: places on this host, for agents in containers and for tests.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[paths]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// The mount of cgroups.
    pub cgroup: PathBuf,
    /// The mount of procfs.
    pub proc: PathBuf,
    /// The mount of sysfs.
    pub sys: PathBuf,
    /// Docker's data.
    pub docker: PathBuf,
    /// containerd's state.
    pub containerd: PathBuf,
    /// The storage of Podman and CRI-O.
    pub containers_storage: PathBuf,
    /// The logs, of which Kubernetes names `pods` and `containers`.
    pub logs: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            cgroup: "/sys/fs/cgroup".into(),
            proc: "/proc".into(),
            sys: "/sys".into(),
            docker: "/var/lib/docker".into(),
            containerd: "/run/containerd".into(),
            containers_storage: "/var/lib/containers/storage".into(),
            logs: "/var/log".into(),
        }
    }
}
