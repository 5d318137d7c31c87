//! What the agent itself costs and what it could not keep.

use std::time::Duration;

/// The agent at one tick.
#[derive(Clone, Debug, Default)]
pub struct AgentUsage {
    /// True where what is seen was made up to show the agent: nothing that goes out may pass for a real host.
    pub demo: bool,
    /// The host's name; empty if procfs does not tell.
    pub hostname: String,
    /// How each collector fared.
    pub collectors: Vec<CollectorStatus>,
    /// The kernel programs.
    pub programs: Vec<ProgramStatus>,
    /// Facts lost, by source; the sources are always all present. See [`losses`](super::losses).
    pub lost: Vec<(&'static str, u64)>,
    /// The kernel maps.
    pub maps: Vec<MapStatus>,
    /// Runtimes that are asked for names, and whether they answer.
    pub runtimes: Vec<RuntimeStatus>,
    /// Ticks so far.
    pub ticks: u64,
    /// Ticks that were left out because the one before took too long.
    pub ticks_skipped: u64,
    /// How long this tick took, up to the snapshot.
    pub tick_duration: Duration,
    /// Living containers.
    pub containers_running: usize,
    /// Containers that the agent has begun to track so far.
    pub containers_discovered: u64,
    /// Containers that ended so far.
    pub containers_ended: u64,
}

/// How a collector fared at this tick.
#[derive(Clone, Debug)]
pub struct CollectorStatus {
    /// Its name.
    pub name: &'static str,
    /// True where it started and its last run succeeded for at least one container (or there were none).
    pub up: bool,
    /// How long it took for all containers.
    pub duration: Duration,
    /// Failed readings so far.
    pub errors: u64,
}

/// One kernel program.
#[derive(Clone, Debug)]
pub struct ProgramStatus {
    /// Its name.
    pub name: &'static str,
    /// The collector it works for.
    pub collector: &'static str,
    /// The hook it uses, such as `tp_btf`.
    pub hook: &'static str,
    /// Whether it is attached.
    pub attached: bool,
    /// Runs while the kernel measured them. `None` where it never did.
    pub runs: Option<u64>,
    /// Time of those runs.
    pub run_time: Duration,
}

/// One kernel map.
#[derive(Clone, Debug)]
pub struct MapStatus {
    /// Its name.
    pub name: &'static str,
    /// Entries in use; `None` for maps whose entries are not claimed one by one.
    pub entries: Option<u64>,
    /// Entries it can hold.
    pub capacity: u64,
    /// Kernel memory it takes.
    pub memory_bytes: u64,
}

/// One container runtime.
#[derive(Clone, Debug)]
pub struct RuntimeStatus {
    /// Its name, as in the label `runtime`.
    pub runtime: &'static str,
    /// Whether its socket answers.
    pub connected: bool,
}
