//! From what the user wrote to what it means: defaults filled in, values held against their bounds.

use std::{path::PathBuf, time::Duration};

use super::{Config, ConfigError, ExtraPaths, Release, Rename, Roots, log_filter, raw::RawConfig};

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::Value { key, problem: format!("{value} is not within {least} to {most}") })
    }
}

/// A socket's path. URLs as in `DOCKER_HOST` and relative paths would never be found.
fn socket(key: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        return Ok(path);
    }
    let problem = match path.to_string_lossy().strip_prefix("unix://") {
        Some(rest) => format!("{path:?} is a URL: leave out \"unix://\" and write {rest:?}"),
        None => format!("{path:?} is no absolute path, such as \"/run/docker.sock\""),
    };
    Err(ConfigError::Value { key, problem })
}

fn sockets(
    key: &'static str,
    given: Option<Vec<PathBuf>>,
    default: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, ConfigError> {
    given.map_or(Ok(default), |paths| paths.into_iter().map(|path| socket(key, path)).collect())
}

/// Of several `*` only one could be meant by the one in `to`.
fn rename(rules: Vec<Rename>) -> Result<Vec<Rename>, ConfigError> {
    for (field, text) in rules.iter().flat_map(|rule| [("name", &rule.name), ("to", &rule.to)]) {
        if text.matches('*').count() > 1 {
            let problem = format!("`{field}` {text:?} has more than one *; only one is allowed");
            return Err(ConfigError::Value { key: "containers.rename", problem });
        }
    }
    Ok(rules)
}

fn release(text: &str) -> Result<Release, ConfigError> {
    Release::parse(text).ok_or_else(|| ConfigError::Value {
        key: "nvidia_driver.release",
        problem: format!("{text:?} is no release, such as \"580.65.06\""),
    })
}

fn log(text: String) -> Result<String, ConfigError> {
    match log_filter::parse(&text) {
        Ok(_) => Ok(text),
        Err(problem) => Err(ConfigError::Value { key: "log", problem }),
    }
}

/// Host names as a request's `Host` has them, without a port.
fn allowed_hosts(names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let plain = |name: &String| {
        !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(ConfigError::Value {
            key: "server.allowed_hosts",
            problem: format!("{name:?} is not a host name, such as \"metrics.example.org\" (without a port)"),
        }),
        None => Ok(names),
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let default = Self::default();
        let millis = |key, value: Option<u64>, default: Duration, least, most| {
            value.map_or(Ok(default), |ms| within(key, ms, least, most).map(Duration::from_millis))
        };
        Ok(Self {
            listen: raw.listen.map_or(default.listen, |address| address.0),
            tick: millis("tick_ms", raw.tick_ms, default.tick, 100, 60_000)?,
            log: log(raw.log.unwrap_or(default.log))?,
            demo: raw.demo.unwrap_or(default.demo),
            containers_max: raw.containers.max.map_or(Ok(default.containers_max), |max| {
                within("containers.max", max.into(), 1, 16_384).map(|_| max)
            })?,
            keep_ended: raw.containers.keep_ended_s.map_or(Ok(default.keep_ended), |s| {
                within("containers.keep_ended_s", s, 0, 86_400).map(Duration::from_secs)
            })?,
            rename: rename(raw.containers.rename)?,
            labels: raw.containers.labels.unwrap_or(default.labels),
            collectors_off: raw
                .collectors
                .into_iter()
                .filter(|(_, on)| !on)
                .map(|(name, _)| name.0.to_owned())
                .collect(),
            cgroup_hugetlb: raw.cgroup.hugetlb.unwrap_or(default.cgroup_hugetlb),
            cgroup_numa: raw.cgroup.numa.unwrap_or(default.cgroup_numa),
            network_tcp_states: raw.network.tcp_states.unwrap_or(default.network_tcp_states),
            network_udp_states: raw.network.udp_states.unwrap_or(default.network_udp_states),
            disk_period: raw.disk.period_s.map_or(Ok(default.disk_period), |s| {
                within("disk.period_s", s, 1, 86_400).map(Duration::from_secs)
            })?,
            disk_walk: raw.disk.walk.unwrap_or(default.disk_walk),
            docker_socket: if raw.docker.enabled.unwrap_or(true) {
                let given = raw.docker.socket.map(|path| socket("docker.socket", path)).transpose()?;
                given.or(default.docker_socket)
            } else {
                None
            },
            docker_extra_sockets: match raw.docker.enabled {
                Some(false) => Vec::new(),
                _ => sockets("docker.extra_sockets", Some(raw.docker.extra_sockets), Vec::new())?,
            },
            podman_sockets: sockets("podman.sockets", raw.podman.sockets, default.podman_sockets)?,
            containerd_sockets: sockets(
                "containerd.sockets",
                raw.containerd.sockets,
                default.containerd_sockets,
            )?,
            cri_sockets: sockets("cri.sockets", raw.cri.sockets, default.cri_sockets)?,
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
            nvidia_per_command_histograms: raw
                .nvidia_driver
                .per_command_histograms
                .unwrap_or(default.nvidia_per_command_histograms),
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
            response_timeout: millis(
                "server.response_timeout_ms",
                raw.server.response_timeout_ms,
                default.response_timeout,
                100,
                600_000,
            )?,
            max_unread_bytes: within(
                "server.max_unread_bytes",
                raw.server.max_unread_bytes.unwrap_or(default.max_unread_bytes as u64),
                1 << 20,
                1 << 30,
            )? as usize,
            allowed_hosts: allowed_hosts(raw.server.allowed_hosts)?,
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
