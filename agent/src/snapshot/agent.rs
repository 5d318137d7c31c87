//! Status and cost of the agent, and the data it has lost.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::sandbox::Sandbox;

/// The agent at one tick.
#[derive(Clone, Debug, Default)]
pub struct AgentUsage {
    /// True in a demonstration with simulated GPUs and GPU containers. Every output must be marked as such.
    pub demo: bool,
    /// The host name; empty if procfs does not provide it.
    pub hostname: String,
    /// Static labels of the host, from the configuration.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The status of each collector.
    pub collectors: Vec<CollectorStatus>,
    /// Capabilities, and the restrictions in force.
    pub sandbox: Sandbox,
    /// Kernel programs.
    pub programs: Vec<ProgramStatus>,
    /// Number of losses by source. All sources are always present. See [`losses`](super::losses).
    pub lost: Vec<(&'static str, u64)>,
    /// Kernel maps.
    pub maps: Vec<MapStatus>,
    /// Container runtimes that provide metadata, and whether they are connected.
    pub runtimes: Vec<RuntimeStatus>,
    /// The configuration file; `None` before it is known.
    pub config: Option<ConfigStatus>,
    /// Ticks so far.
    pub ticks: u64,
    /// Ticks skipped because the previous one took too long.
    pub ticks_skipped: u64,
    /// Duration of this tick, up to the snapshot.
    pub tick_duration: Duration,
    /// Containers that have not ended.
    pub containers_running: usize,
    /// Containers discovered so far.
    pub containers_discovered: u64,
    /// Containers that ended so far.
    pub containers_ended: u64,
}

/// Whether the configuration in force is the one in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigStatus {
    /// False if the file could not be used when it was last read.
    pub last_load_succeeded: bool,
    /// When the configuration in force was read.
    pub loaded_at: SystemTime,
}

/// The status of a collector at this tick.
#[derive(Clone, Debug)]
pub struct CollectorStatus {
    /// Its name.
    pub name: &'static str,
    /// True if it started and its last run succeeded for at least one container, or there were no containers.
    pub up: bool,
    /// Time it took for all containers.
    pub duration: Duration,
    /// Failed readings so far.
    pub errors: u64,
}

/// One kernel program.
#[derive(Clone, Debug)]
pub struct ProgramStatus {
    /// Its name.
    pub name: &'static str,
    /// The collector that uses it.
    pub collector: &'static str,
    /// The kind of hook it is attached to, such as `tp_btf`.
    pub hook: &'static str,
    /// Whether it is attached.
    pub attached: bool,
    /// Runs while run time was measured; `None` if it was never measured.
    pub runs: Option<u64>,
    /// Total time of these runs.
    pub run_time: Duration,
}

/// One kernel map.
#[derive(Clone, Debug)]
pub struct MapStatus {
    /// Its name.
    pub name: &'static str,
    /// Entries in use; `None` for maps whose entries are not claimed one by one.
    pub entries: Option<u64>,
    /// Maximum number of entries.
    pub capacity: u64,
    /// Kernel memory it uses.
    pub memory_bytes: u64,
}

/// One container runtime.
#[derive(Clone, Debug)]
pub struct RuntimeStatus {
    /// Its name: the value of the label `runtime`.
    pub runtime: &'static str,
    /// Whether the agent is connected to its socket.
    pub connected: bool,
}
