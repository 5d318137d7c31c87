//! `[paths]`: paths on this host, for agents in containers and for tests.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[paths]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Mount point of the cgroup filesystem.
    pub cgroup: PathBuf,
    /// Mount point of procfs.
    pub proc: PathBuf,
    /// Mount point of sysfs.
    pub sys: PathBuf,
    /// Docker's data directory.
    pub docker: PathBuf,
    /// containerd's state directory.
    pub containerd: PathBuf,
    /// Storage directory of Podman and CRI-O.
    pub containers_storage: PathBuf,
    /// Log directory; Kubernetes uses its subdirectories `pods` and `containers`.
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
