//! `[docker]`, `[podman]`, `[containerd]` and `[cri]`: the sockets of the runtimes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

const CONTAINERD: &str = "/run/containerd/containerd.sock";
const K3S: &str = "/run/k3s/containerd/containerd.sock";

/// `[docker]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Docker {
    /// Whether the agent connects to Docker Engine.
    pub enabled: bool,
    /// The socket.
    #[serde(deserialize_with = "socket")]
    pub socket: PathBuf,
    /// Sockets of other Docker Engines, such as rootless ones.
    #[serde(deserialize_with = "sockets")]
    pub extra_sockets: Vec<PathBuf>,
}

impl Default for Docker {
    fn default() -> Self {
        Self { enabled: true, socket: "/var/run/docker.sock".into(), extra_sockets: Vec::new() }
    }
}

impl Docker {
    /// Docker Engine is disabled.
    #[must_use]
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// The socket; `None` if Docker Engine is disabled.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.enabled.then_some(&self.socket)
    }

    /// The other sockets; empty if Docker Engine is disabled.
    #[must_use]
    pub fn extra_sockets(&self) -> &[PathBuf] {
        if self.enabled { &self.extra_sockets } else { &[] }
    }
}

/// `[podman]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Podman {
    /// The sockets; an empty list disables the runtime.
    #[serde(deserialize_with = "sockets")]
    pub sockets: Vec<PathBuf>,
}

impl Default for Podman {
    fn default() -> Self {
        Self { sockets: vec!["/run/podman/podman.sock".into()] }
    }
}

/// `[containerd]`: containerd's containers outside of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Containerd {
    /// The sockets; an empty list disables the runtime.
    #[serde(deserialize_with = "sockets")]
    pub sockets: Vec<PathBuf>,
}

impl Default for Containerd {
    fn default() -> Self {
        Self { sockets: vec![CONTAINERD.into(), K3S.into()] }
    }
}

/// `[cri]`: Kubernetes' container runtimes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cri {
    /// The sockets; an empty list disables CRI.
    #[serde(deserialize_with = "sockets")]
    pub sockets: Vec<PathBuf>,
}

impl Default for Cri {
    fn default() -> Self {
        Self { sockets: vec![CONTAINERD.into(), "/run/crio/crio.sock".into(), K3S.into()] }
    }
}

/// Checks the path of a socket. URLs as in `DOCKER_HOST` and relative paths are rejected because they would never be
/// found.
fn checked(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(match path.to_string_lossy().strip_prefix("unix://") {
        Some(rest) => format!("{path:?} is a URL: use the path {rest:?}, without \"unix://\""),
        None => format!("{path:?} is not an absolute path, such as \"/run/docker.sock\""),
    })
}

fn socket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    checked(PathBuf::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn sockets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(deserializer)?;
    paths.into_iter().map(checked).collect::<Result<_, _>>().map_err(D::Error::custom)
}
