//! Which container this is: its id, its names and what made it.

use std::{collections::BTreeMap, time::SystemTime};

/// What made the container, as far as its cgroup path or a runtime tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// containerd, with or without Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// A container id in the path, but no sign of who made it.
    #[default]
    Unknown,
}

impl Runtime {
    /// The value of the label `runtime`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Unknown => "unknown",
        }
    }
}

/// Who a container is. Everything but `id`, `cgroup_path` and `runtime` may be unknown (empty or `None`). All strings
/// come from outside and may hold anything; the exposition escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The runtime's id, usually 64 hexadecimal digits.
    pub id: String,
    /// Path of the cgroup within its hierarchy, with a leading slash: cAdvisor's label `id`.
    pub cgroup_path: String,
    /// ID of the container in which this one runs, as with Docker in Docker or a Kubernetes node in a container.
    pub parent_id: Option<String>,
    /// What made it.
    pub runtime: Runtime,
    /// The runtime's name for it, without a leading slash: cAdvisor's label `name`. Empty where unknown.
    pub name: String,
    /// The image as the user wrote it. Empty where unknown.
    pub image: String,
    /// The display name, unique among living containers of this host: the label `container`. See [`containers::naming`](crate::containers::naming).
    pub container: String,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// The runtime's labels, those that the configuration lets through.
    pub labels: BTreeMap<String, String>,
    /// When its main process was started, by the runtime, else when its cgroup was made.
    pub started_at: Option<SystemTime>,
}
