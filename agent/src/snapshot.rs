//! One tick's picture of the host. Collectors fill it, it is published as an `Arc` and never changes again; the
//! outputs only read. Unknown is `None` or absent, never 0.

pub mod agent;
pub mod cgroup;
pub mod disk;
pub mod gpu;
pub mod gpu_state;
pub mod host;
pub mod identity;
pub mod lifecycle;
pub mod losses;
pub mod machine;
pub mod network;
pub mod nvidia_driver;
pub mod oom;
pub mod pci_address;
pub mod problem;
pub mod scheduler;
pub mod sockets;
pub mod totals;
pub mod xid;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

pub use self::totals::Totals;

use self::{
    agent::AgentUsage,
    cgroup::CgroupUsage,
    disk::DiskUsage,
    gpu::ContainerGpu,
    gpu_state::GpuState,
    host::Host,
    identity::Identity,
    lifecycle::Lifecycle,
    network::{HostNetworkCounters, InterfaceCounters},
    nvidia_driver::DriverUsage,
    oom::OomKills,
    problem::Problem,
    scheduler::SchedulerCounters,
    sockets::Sockets,
};

/// Everything known at one tick.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which snapshot this is, and what scrapers were given.
    pub delivery: Delivery,
    /// When the tick was taken.
    pub taken_at: SystemTime,
    /// Running containers and, for some minutes, those that ended; in ascending order of their keys.
    pub containers: Vec<ContainerRow>,
    /// The host itself.
    pub host: Host,
    /// The agent itself.
    pub agent: AgentUsage,
}

/// The number of a snapshot, and the way back from the outputs: they mark what scrapers were given. Clones share the mark.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    number: u64,
    scraped: Arc<AtomicU64>,
}

impl Delivery {
    /// That of the next snapshot.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { number: self.number + 1, scraped: Arc::clone(&self.scraped) }
    }

    /// Counts snapshots; 0 before the first.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// A scraper gets this snapshot: what was final in it may be forgotten.
    pub fn mark_scraped(&self) {
        self.scraped.fetch_max(self.number, Ordering::Relaxed);
    }

    /// The number of the last snapshot that a scraper was given; 0 before the first.
    #[must_use]
    pub fn scraped(&self) -> u64 {
        self.scraped.load(Ordering::Relaxed)
    }
}

/// What is known of one container.
#[derive(Clone, Debug)]
pub struct ContainerRow {
    /// Distinguishes this run of the container from every other that the agent has seen; never used twice.
    pub key: u64,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When it last ran, as far as seen.
    pub last_seen: SystemTime,
    /// When its cgroup went; `None` while that is there. Its counters then stay as they were last read.
    pub ended_at: Option<SystemTime>,
    /// How long ago that was.
    pub ended_ago: Option<Duration>,
    /// Whether processes are in its cgroup, or its runtime reports that it runs. A runtime may leave the cgroup of a
    /// container behind that has ended.
    pub running: bool,
    /// True where this row may bear `glassbox_container_*` series. Of several containers with one display name (a dead
    /// one and its successor), only the youngest may, so that a series is never given twice.
    pub owns_name: bool,
    /// What it is doing, and how its last run ended.
    pub life: Lifecycle,
    /// What its cgroup files say.
    pub cgroup: CgroupUsage,
    /// What its writable layer takes. `None` where nobody tells.
    pub disk: Option<Box<DiskUsage>>,
    /// Interfaces of its own network namespace; empty where it shares another's.
    pub network: Vec<InterfaceCounters>,
    /// The sockets of that namespace by state; `None` where they are not counted.
    pub sockets: Option<Arc<Sockets>>,
    /// Its traffic in the host's network; `None` where it is not there, or nothing counts.
    pub host_network: Option<HostNetworkCounters>,
    /// Its processes that the kernel killed because memory ran out.
    pub oom: OomKills,
    /// Run-queue waits, time on CPU, switches. `None` where no kernel program counts for it.
    pub scheduler: Option<Box<SchedulerCounters>>,
    /// Its use of the NVIDIA driver. `None` where it makes none.
    pub nvidia_driver: Option<Box<DriverUsage>>,
    /// What it is doing with its GPUs. `None` where what is known does not tell.
    pub gpu_state: Option<GpuState>,
    /// What it does on GPUs, by index; empty where it was on none.
    pub gpus: Vec<ContainerGpu>,
    /// What is wrong with it, most severe first; empty if nothing is.
    pub problems: Vec<Problem>,
    /// What earlier runs of the container have counted, until the analysis adds it to the counters of this run.
    pub earlier: Option<Arc<Totals>>,
}

impl ContainerRow {
    /// A container about which nothing has been read yet.
    #[must_use]
    pub fn new(identity: Arc<Identity>, now: SystemTime) -> Self {
        Self {
            key: 0,
            identity,
            last_seen: now,
            ended_at: None,
            ended_ago: None,
            running: true,
            owns_name: true,
            life: Lifecycle::default(),
            cgroup: CgroupUsage::default(),
            disk: None,
            network: Vec::new(),
            sockets: None,
            host_network: None,
            oom: OomKills::default(),
            scheduler: None,
            nvidia_driver: None,
            gpu_state: None,
            gpus: Vec::new(),
            problems: Vec::new(),
            earlier: None,
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running && self.ended_at.is_none()
    }

    /// Completes the CPU time of a run that was too short, or ended too fast, for its cgroup files: only the kernel program
    /// has seen all of it.
    pub fn settle(&mut self) {
        let read_ns = self.cgroup.cpu.usage_ns;
        if self.ended_at.is_some() || read_ns.is_none() {
            let oncpu_ns = self.scheduler.as_ref().map(|usage| usage.oncpu_ns);
            self.cgroup.cpu.usage_ns = read_ns.max(oncpu_ns);
        }
    }
}
