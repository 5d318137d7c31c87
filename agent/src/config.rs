//! The configuration: what the user wrote ([`raw`], unknown keys refused) and what it means ([`Config`], made in
//! [`meaning`]).
//!
//! The annotated file is systemd/agent.toml; a test parses it and holds it against the defaults here.

pub mod address;
mod collectors;
pub mod log_filter;
mod meaning;
mod paths;
mod raw;
mod release;
mod rename;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use self::raw::RawConfig;
pub use self::{
    collectors::COLLECTOR_NAMES,
    paths::{ExtraPaths, Roots},
    release::Release,
    rename::{Rename, ineffective_renames},
};

/// Why a configuration was refused. The text names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read configuration {path} (name another with --config)")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong type.
    #[error("parse configuration {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A file that parses, with a value that makes no sense.
    #[error("check configuration {path}")]
    Check {
        /// The file.
        path: PathBuf,
        /// Which value, and what is wrong with it.
        source: Box<Self>,
    },
    /// A value that makes no sense.
    #[error("key {key}: {problem}")]
    Value {
        /// The key, with its table.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// When the kernel measures the run time of programs, which itself costs some tens of ns per run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ProgramStats {
    /// One second in thirty.
    Sampled,
    /// All the time.
    Always,
    /// Only while the administrator has set `kernel.bpf_stats_enabled`.
    Never,
}

/// Which scheduler programs to use.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerRung {
    /// The first that this kernel takes.
    Auto,
    /// Only the single-hook program that reads `sched_info`.
    Switch,
    /// Only the wakeup + switch programs.
    Wakeup,
}

/// Which programs trace the NVIDIA driver.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NvidiaDriverRung {
    /// The first that this kernel takes.
    Auto,
    /// Only those on the driver's own functions.
    Functions,
    /// Only those on the system call.
    Syscalls,
}

/// What the configuration means, every value set and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address of the HTTP listener.
    pub listen: SocketAddr,
    /// Time between two snapshots.
    pub tick: Duration,
    /// Filter of log lines, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub log: String,
    /// Whether all that goes out is marked as a demonstration.
    pub demo: bool,
    /// Most containers that get kernel counters of their own.
    pub containers_max: u32,
    /// How long the final counters of an ended container stay.
    pub keep_ended: Duration,
    /// Display-name rules, first match wins.
    pub rename: Vec<Rename>,
    /// Runtime labels that are kept: exact names, or a prefix followed by `*`.
    pub labels: Vec<String>,
    /// Collectors that are switched off by name.
    pub collectors_off: Vec<String>,
    /// Whether the use of huge pages is read.
    pub cgroup_hugetlb: bool,
    /// Whether memory is read by NUMA node.
    pub cgroup_numa: bool,
    /// Whether TCP sockets are counted by state.
    pub network_tcp_states: bool,
    /// Whether UDP sockets are.
    pub network_udp_states: bool,
    /// Time between two rounds over the writable layers.
    pub disk_period: Duration,
    /// Whether layers of whose size nobody tells are walked.
    pub disk_walk: bool,
    /// Docker Engine's socket; `None` where it is not to be asked.
    pub docker_socket: Option<PathBuf>,
    /// Sockets of other Docker Engines, such as rootless ones.
    pub docker_extra_sockets: Vec<PathBuf>,
    /// Podman's sockets.
    pub podman_sockets: Vec<PathBuf>,
    /// containerd's sockets, for its containers beside Kubernetes'.
    pub containerd_sockets: Vec<PathBuf>,
    /// Sockets of Kubernetes' container runtimes.
    pub cri_sockets: Vec<PathBuf>,
    /// Whether kernel programs are loaded at all.
    pub kernel_enabled: bool,
    /// Where the kernel's type information is.
    pub btf: PathBuf,
    /// When program run times are measured.
    pub program_stats: ProgramStats,
    /// Which scheduler programs to use.
    pub scheduler_rung: SchedulerRung,
    /// Which programs trace the NVIDIA driver.
    pub nvidia_driver_rung: NvidiaDriverRung,
    /// The NVIDIA driver's release; `None` is what the driver says itself.
    pub nvidia_release: Option<Release>,
    /// Files that count as the NVIDIA driver's devices.
    pub nvidia_extra: ExtraPaths,
    /// Export the durations of ioctls as a histogram per command, not only per device.
    pub nvidia_per_command_histograms: bool,
    /// NVIDIA's management library: a path, or a name that the dynamic linker finds.
    pub nvml_library: PathBuf,
    /// Time between two samples of what changes fast on a GPU.
    pub nvml_sample: Duration,
    /// Most HTTP connections at a time.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take without reading anything of a response.
    pub write_timeout: Duration,
    /// How long a response may take in all.
    pub response_timeout: Duration,
    /// Most bytes of earlier responses that clients have not read yet.
    pub max_unread_bytes: usize,
    /// Host names that requests may name beside `localhost` and IP addresses. On a loopback listener all others are
    /// refused, on others only if there is one here.
    pub allowed_hosts: Vec<String>,
    /// The mount of cgroups.
    pub cgroup_root: PathBuf,
    /// The mount of procfs.
    pub proc_root: PathBuf,
    /// The mount of sysfs.
    pub sys_root: PathBuf,
    /// Where runtimes leave files that name containers.
    pub roots: Roots,
}

const CONTAINERD: &str = "/run/containerd/containerd.sock";
const K3S: &str = "/run/k3s/containerd/containerd.sock";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9966)),
            tick: Duration::from_secs(1),
            log: "info".into(),
            demo: false,
            containers_max: 256,
            keep_ended: Duration::from_secs(300),
            rename: Vec::new(),
            labels: ["project", "service", "container-number", "project.working_dir"]
                .map(|name| format!("com.docker.compose.{name}"))
                .to_vec(),
            collectors_off: Vec::new(),
            cgroup_hugetlb: false,
            cgroup_numa: false,
            network_tcp_states: false,
            network_udp_states: false,
            disk_period: Duration::from_secs(60),
            disk_walk: false,
            docker_socket: Some("/var/run/docker.sock".into()),
            docker_extra_sockets: Vec::new(),
            podman_sockets: vec!["/run/podman/podman.sock".into()],
            containerd_sockets: vec![CONTAINERD.into(), K3S.into()],
            cri_sockets: vec![CONTAINERD.into(), "/run/crio/crio.sock".into(), K3S.into()],
            kernel_enabled: true,
            btf: "/sys/kernel/btf/vmlinux".into(),
            program_stats: ProgramStats::Sampled,
            scheduler_rung: SchedulerRung::Auto,
            nvidia_driver_rung: NvidiaDriverRung::Auto,
            nvidia_release: None,
            nvidia_extra: ExtraPaths::default(),
            nvidia_per_command_histograms: false,
            nvml_library: "libnvidia-ml.so.1".into(),
            nvml_sample: Duration::from_millis(200),
            max_connections: 64,
            header_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            max_unread_bytes: 32 << 20,
            allowed_hosts: Vec::new(),
            cgroup_root: "/sys/fs/cgroup".into(),
            proc_root: "/proc".into(),
            sys_root: "/sys".into(),
            roots: Roots {
                docker: "/var/lib/docker".into(),
                containerd: "/run/containerd".into(),
                storage: "/var/lib/containers/storage".into(),
                logs: "/var/log".into(),
            },
        }
    }
}

impl Config {
    /// Whether the collector of that name is to run.
    #[must_use]
    pub fn is_on(&self, collector: &str) -> bool {
        !self.collectors_off.iter().any(|off| off == collector)
    }

    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file or the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let raw: RawConfig = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        Self::try_from(raw)
            .map_err(|source| ConfigError::Check { path: path.to_owned(), source: Box::new(source) })
    }
}
