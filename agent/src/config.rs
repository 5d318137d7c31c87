//! The configuration: one struct per table of the file, with defaults. Unknown keys and values out of range are
//! rejected.
//!
//! Each key is a field here and a paragraph in systemd/agent.toml, the commented configuration file. A test compares
//! that file with the defaults.

pub mod address;
pub mod bounded;
mod collectors;
mod containers;
pub mod file;
mod health;
mod kernel;
mod labels;
pub mod log_filter;
mod nvidia;
mod paths;
mod problem;
mod programs;
mod release;
mod reload;
mod rename;
mod requests;
mod runtimes;
mod sandbox;
mod server;
pub mod web;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use self::{bounded::Millis, problem::Problem};
pub use self::{
    collectors::{Cgroup, Collectors, Disk, Network, Sockets},
    containers::Containers,
    health::Health,
    kernel::{Kernel, ProgramStats, SchedulerHook},
    labels::Labels,
    nvidia::{NvidiaDriver, NvidiaDriverHook, Nvml},
    paths::Paths,
    problem::ConfigError,
    programs::Programs,
    release::Release,
    reload::changed_keys,
    rename::{Rename, ineffective_renames},
    requests::{FunctionName, ROUTES_MAX, Requests},
    runtimes::{Containerd, Cri, Docker, Podman},
    sandbox::Sandbox,
    server::Server,
};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of the HTTP listener.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Time between two snapshots.
    pub tick_ms: Millis<100, 60_000>,
    /// Log filter, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    #[serde(deserialize_with = "log")]
    pub log: String,
    /// Whether every output is marked as a demonstration.
    pub demo: bool,
    /// Static labels of this host.
    pub labels: Labels,
    /// Limits, names and labels of containers.
    pub containers: Containers,
    /// Which collectors run.
    pub collectors: Collectors,
    /// Options of the collector `cgroup`.
    pub cgroup: Cgroup,
    /// Options of the collector `network`.
    pub network: Network,
    /// Options of the collector `sockets`.
    pub sockets: Sockets,
    /// Options of the collector `disk`.
    pub disk: Disk,
    /// Options of the collector `requests`.
    pub requests: Requests,
    /// Options of the collector `programs`.
    pub programs: Programs,
    /// Health of containers.
    pub health: Health,
    /// Docker Engine.
    pub docker: Docker,
    /// Podman.
    pub podman: Podman,
    /// containerd.
    pub containerd: Containerd,
    /// Kubernetes' container runtimes.
    pub cri: Cri,
    /// Kernel programs.
    pub kernel: Kernel,
    /// NVIDIA's kernel driver.
    pub nvidia_driver: NvidiaDriver,
    /// NVIDIA's management library.
    pub nvml: Nvml,
    /// The HTTP listener.
    pub server: Server,
    /// What the agent gives up at start.
    pub sandbox: Sandbox,
    /// Paths on this host.
    pub paths: Paths,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9966)),
            tick_ms: Duration::from_secs(1).into(),
            log: "info".into(),
            demo: false,
            labels: Labels::default(),
            containers: Containers::default(),
            collectors: Collectors::default(),
            cgroup: Cgroup::default(),
            network: Network::default(),
            sockets: Sockets::default(),
            disk: Disk::default(),
            requests: Requests::default(),
            programs: Programs::default(),
            health: Health::default(),
            docker: Docker::default(),
            podman: Podman::default(),
            containerd: Containerd::default(),
            cri: Cri::default(),
            kernel: Kernel::default(),
            nvidia_driver: NvidiaDriver::default(),
            nvml: Nvml::default(),
            server: Server::default(),
            sandbox: Sandbox::default(),
            paths: Paths::default(),
        }
    }
}

impl Config {
    /// Whether the collector with this name is enabled.
    #[must_use]
    pub fn is_on(&self, collector: &str) -> bool {
        self.collectors.is_on(collector)
    }

    /// Reads and validates a file.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] with the file, the line and the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = file::read(path)
            .and_then(file::text)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
            .map_err(|source| ConfigError::Check { path: path.to_owned(), source: Box::new(source) })
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let deserializer = toml::Deserializer::parse(text).map_err(Problem::syntax)?;
        serde_path_to_error::deserialize(deserializer).map_err(Problem::value)
    }

    /// The configuration as TOML, with every key.
    ///
    /// # Errors
    /// A path is not UTF-8, so TOML cannot represent it.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        toml::to_string(self).context("write the configuration as TOML")
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    address::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn log<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    log_filter::parse(&text).map_err(D::Error::custom)?;
    Ok(text)
}
