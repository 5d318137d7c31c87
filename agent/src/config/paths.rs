//! Places on this host that can be set, for agents in containers and for tests.

use std::path::PathBuf;

/// Where runtimes leave their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Docker's data, usually `/var/lib/docker`.
    pub docker: PathBuf,
    /// containerd's state, usually `/run/containerd`.
    pub containerd: PathBuf,
    /// The storage of Podman and CRI-O, usually `/var/lib/containers/storage`.
    pub storage: PathBuf,
    /// The logs, of which Kubernetes names `pods` and `containers`; usually `/var/log`.
    pub logs: PathBuf,
}

/// Files beside the real devices, from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraPaths {
    /// As /dev/nvidiactl.
    pub ctl: Vec<PathBuf>,
    /// As /dev/nvidia0.
    pub gpu: Vec<PathBuf>,
    /// As /dev/nvidia-uvm.
    pub uvm: Vec<PathBuf>,
}
