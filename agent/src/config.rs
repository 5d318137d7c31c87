//! The configuration: what the user wrote ([`RawConfig`], unknown keys refused) and what it means ([`Config`]).
//!
//! The annotated file is systemd/agent.toml; a test parses it and holds it against the defaults here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    collectors::nvidia_driver::{ExtraPaths, Release},
    containers::files::Roots,
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

/// What the user wrote. Every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    listen: Option<SocketAddr>,
    tick_ms: Option<u64>,
    log: Option<String>,
    demo: Option<bool>,
    containers: RawContainers,
    collectors: RawCollectors,
    cgroup: RawCgroup,
    docker: RawDocker,
    podman: RawSockets,
    containerd: RawSockets,
    cri: RawSockets,
    kernel: RawKernel,
    nvidia_driver: RawNvidiaDriver,
    nvml: RawNvml,
    server: RawServer,
    paths: RawPaths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawContainers {
    max: Option<u32>,
    keep_ended_s: Option<u64>,
    rename: Vec<Rename>,
    labels: Option<Vec<String>>,
}

/// One switch for each collector; a test holds them against the registry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCollectors {
    cgroup: Option<bool>,
    host_network: Option<bool>,
    machine: Option<bool>,
    network: Option<bool>,
    nvml: Option<bool>,
    oom: Option<bool>,
    scheduler: Option<bool>,
    nvidia_driver: Option<bool>,
}

impl RawCollectors {
    fn off(&self) -> Vec<String> {
        let switches = [
            ("cgroup", self.cgroup),
            ("machine", self.machine),
            ("network", self.network),
            ("host_network", self.host_network),
            ("scheduler", self.scheduler),
            ("nvidia_driver", self.nvidia_driver),
            ("nvml", self.nvml),
            ("oom", self.oom),
        ];
        switches.into_iter().filter(|(_, on)| *on == Some(false)).map(|(name, _)| name.to_owned()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCgroup {
    hugetlb: Option<bool>,
    numa: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDocker {
    enabled: Option<bool>,
    socket: Option<PathBuf>,
    extra_sockets: Vec<PathBuf>,
}

/// The sockets of a runtime; none switches it off.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSockets {
    sockets: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawKernel {
    enabled: Option<bool>,
    btf: Option<PathBuf>,
    program_stats: Option<ProgramStats>,
    scheduler_rung: Option<SchedulerRung>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNvidiaDriver {
    rung: Option<NvidiaDriverRung>,
    release: Option<String>,
    extra_ctl_paths: Vec<PathBuf>,
    extra_gpu_paths: Vec<PathBuf>,
    extra_uvm_paths: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNvml {
    library: Option<PathBuf>,
    sample_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawServer {
    max_connections: Option<usize>,
    header_timeout_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPaths {
    cgroup: Option<PathBuf>,
    proc: Option<PathBuf>,
    sys: Option<PathBuf>,
    docker: Option<PathBuf>,
    containerd: Option<PathBuf>,
    containers_storage: Option<PathBuf>,
    logs: Option<PathBuf>,
}

/// A rule that gives containers another display name.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The runtime name it applies to; a `*` stands for any run of characters.
    pub name: String,
    /// The display name instead; `*` is replaced by what the first `*` of `name` stood for.
    pub to: String,
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
    /// NVIDIA's management library: a path, or a name that the dynamic linker finds.
    pub nvml_library: PathBuf,
    /// Time between two samples of what changes fast on a GPU.
    pub nvml_sample: Duration,
    /// Most HTTP connections at a time.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take without reading anything of an answer.
    pub write_timeout: Duration,
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
            nvml_library: "libnvidia-ml.so.1".into(),
            nvml_sample: Duration::from_millis(200),
            max_connections: 64,
            header_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
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

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::Value { key, problem: format!("{value} is not within {least} to {most}") })
    }
}

fn release(text: &str) -> Result<Release, ConfigError> {
    Release::parse(text).ok_or_else(|| ConfigError::Value {
        key: "nvidia_driver.release",
        problem: format!("{text:?} is no release, such as \"580.65.06\""),
    })
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let default = Self::default();
        let millis = |key, value: Option<u64>, default: Duration, least, most| {
            value.map_or(Ok(default), |ms| within(key, ms, least, most).map(Duration::from_millis))
        };
        Ok(Self {
            listen: raw.listen.unwrap_or(default.listen),
            tick: millis("tick_ms", raw.tick_ms, default.tick, 100, 60_000)?,
            log: raw.log.unwrap_or(default.log),
            demo: raw.demo.unwrap_or(default.demo),
            containers_max: raw.containers.max.map_or(Ok(default.containers_max), |max| {
                within("containers.max", max.into(), 1, 16_384).map(|_| max)
            })?,
            keep_ended: raw.containers.keep_ended_s.map_or(Ok(default.keep_ended), |s| {
                within("containers.keep_ended_s", s, 0, 86_400).map(Duration::from_secs)
            })?,
            rename: raw.containers.rename,
            labels: raw.containers.labels.unwrap_or(default.labels),
            collectors_off: raw.collectors.off(),
            cgroup_hugetlb: raw.cgroup.hugetlb.unwrap_or(default.cgroup_hugetlb),
            cgroup_numa: raw.cgroup.numa.unwrap_or(default.cgroup_numa),
            docker_socket: if raw.docker.enabled.unwrap_or(true) {
                raw.docker.socket.or(default.docker_socket)
            } else {
                None
            },
            docker_extra_sockets: match raw.docker.enabled {
                Some(false) => Vec::new(),
                _ => raw.docker.extra_sockets,
            },
            podman_sockets: raw.podman.sockets.unwrap_or(default.podman_sockets),
            containerd_sockets: raw.containerd.sockets.unwrap_or(default.containerd_sockets),
            cri_sockets: raw.cri.sockets.unwrap_or(default.cri_sockets),
            kernel_enabled: raw.kernel.enabled.unwrap_or(default.kernel_enabled),
            btf: raw.kernel.btf.unwrap_or(default.btf),
            program_stats: raw.kernel.program_stats.unwrap_or(default.program_stats),
            scheduler_rung: raw.kernel.scheduler_rung.unwrap_or(default.scheduler_rung),
            nvidia_driver_rung: raw.nvidia_driver.rung.unwrap_or(default.nvidia_driver_rung),
            nvidia_release: match raw.nvidia_driver.release.as_deref() {
                None | Some("") => None,
                Some(text) => Some(release(text)?),
            },
            nvidia_extra: ExtraPaths {
                ctl: raw.nvidia_driver.extra_ctl_paths,
                gpu: raw.nvidia_driver.extra_gpu_paths,
                uvm: raw.nvidia_driver.extra_uvm_paths,
            },
            nvml_library: raw.nvml.library.unwrap_or(default.nvml_library),
            nvml_sample: millis("nvml.sample_ms", raw.nvml.sample_ms, default.nvml_sample, 50, 10_000)?,
            max_connections: within(
                "server.max_connections",
                raw.server.max_connections.unwrap_or(default.max_connections) as u64,
                1,
                4096,
            )? as usize,
            header_timeout: millis(
                "server.header_timeout_ms",
                raw.server.header_timeout_ms,
                default.header_timeout,
                100,
                60_000,
            )?,
            write_timeout: millis(
                "server.write_timeout_ms",
                raw.server.write_timeout_ms,
                default.write_timeout,
                100,
                300_000,
            )?,
            cgroup_root: raw.paths.cgroup.unwrap_or(default.cgroup_root),
            proc_root: raw.paths.proc.unwrap_or(default.proc_root),
            sys_root: raw.paths.sys.unwrap_or(default.sys_root),
            roots: Roots {
                docker: raw.paths.docker.unwrap_or(default.roots.docker),
                containerd: raw.paths.containerd.unwrap_or(default.roots.containerd),
                storage: raw.paths.containers_storage.unwrap_or(default.roots.storage),
                logs: raw.paths.logs.unwrap_or(default.roots.logs),
            },
        })
    }
}
