//! What the user wrote: every key optional, unknown ones refused.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{NvidiaDriverRung, ProgramStats, Rename, SchedulerRung, address, collectors::CollectorName};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) listen: Option<ListenAddress>,
    pub(super) tick_ms: Option<u64>,
    pub(super) log: Option<String>,
    pub(super) demo: Option<bool>,
    pub(super) containers: RawContainers,
    pub(super) collectors: BTreeMap<CollectorName, bool>,
    pub(super) cgroup: RawCgroup,
    pub(super) disk: RawDisk,
    pub(super) network: RawNetwork,
    pub(super) docker: RawDocker,
    pub(super) podman: RawSockets,
    pub(super) containerd: RawSockets,
    pub(super) cri: RawSockets,
    pub(super) kernel: RawKernel,
    pub(super) nvidia_driver: RawNvidiaDriver,
    pub(super) nvml: RawNvml,
    pub(super) server: RawServer,
    pub(super) paths: RawPaths,
}

/// An address and port, refused with an example.
#[derive(Debug)]
pub(super) struct ListenAddress(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        address::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawContainers {
    pub(super) max: Option<u32>,
    pub(super) keep_ended_s: Option<u64>,
    pub(super) rename: Vec<Rename>,
    pub(super) labels: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCgroup {
    pub(super) hugetlb: Option<bool>,
    pub(super) numa: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDisk {
    pub(super) period_s: Option<u64>,
    pub(super) walk: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNetwork {
    pub(super) tcp_states: Option<bool>,
    pub(super) udp_states: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDocker {
    pub(super) enabled: Option<bool>,
    pub(super) socket: Option<PathBuf>,
    pub(super) extra_sockets: Vec<PathBuf>,
}

/// The sockets of a runtime; none switches it off.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSockets {
    pub(super) sockets: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKernel {
    pub(super) enabled: Option<bool>,
    pub(super) btf: Option<PathBuf>,
    pub(super) program_stats: Option<ProgramStats>,
    pub(super) scheduler_rung: Option<SchedulerRung>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNvidiaDriver {
    pub(super) rung: Option<NvidiaDriverRung>,
    pub(super) release: Option<String>,
    pub(super) extra_ctl_paths: Vec<PathBuf>,
    pub(super) extra_gpu_paths: Vec<PathBuf>,
    pub(super) extra_uvm_paths: Vec<PathBuf>,
    pub(super) per_command_histograms: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNvml {
    pub(super) library: Option<PathBuf>,
    pub(super) sample_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    pub(super) max_connections: Option<usize>,
    pub(super) header_timeout_ms: Option<u64>,
    pub(super) write_timeout_ms: Option<u64>,
    pub(super) response_timeout_ms: Option<u64>,
    pub(super) max_unread_bytes: Option<u64>,
    pub(super) allowed_hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPaths {
    pub(super) cgroup: Option<PathBuf>,
    pub(super) proc: Option<PathBuf>,
    pub(super) sys: Option<PathBuf>,
    pub(super) docker: Option<PathBuf>,
    pub(super) containerd: Option<PathBuf>,
    pub(super) containers_storage: Option<PathBuf>,
    pub(super) logs: Option<PathBuf>,
}
