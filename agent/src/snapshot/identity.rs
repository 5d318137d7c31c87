//! The identity of a container: ID, names, labels and runtime.

use std::{collections::BTreeMap, time::SystemTime};

/// The runtime that created the container, according to its cgroup path or a runtime.
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
    /// The path contains a container ID, but nothing identifies the runtime.
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

/// The identity of a container. All fields except `id`, `cgroup_path` and `runtime` may be unknown (empty or `None`).
/// All strings are untrusted input and may contain any character; the exposition escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The runtime's ID, usually 64 hexadecimal digits.
    pub id: String,
    /// Path of the cgroup within its hierarchy, with a leading slash: cAdvisor's label `id`.
    pub cgroup_path: String,
    /// ID of the container in which this one runs, as with Docker in Docker or a Kubernetes node in a container.
    pub parent_id: Option<String>,
    /// The runtime that created it.
    pub runtime: Runtime,
    /// The runtime's name for it, without a leading slash: cAdvisor's label `name`. Empty if unknown.
    pub name: String,
    /// The image as the user specified it. Empty if unknown.
    pub image: String,
    /// The display name, unique among the running containers of this host: the label `container`. See
    /// [`containers::naming`](crate::containers::naming).
    pub container: String,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// The runtime's labels that `containers.labels` selects.
    pub labels: BTreeMap<String, String>,
    /// When the runtime started its main process; if that is unknown, when its cgroup was created.
    pub started_at: Option<SystemTime>,
}

impl Identity {
    /// The display name with the namespace and the pod, as in the labels: `namespace/pod/container`, or `container`
    /// outside of Kubernetes.
    #[must_use]
    pub fn full_name(&self) -> String {
        match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) => format!("{namespace}/{pod}/{}", self.container),
            _ => self.container.clone(),
        }
    }
}
