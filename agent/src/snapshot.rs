//! The state of the host at one tick. Collectors fill a snapshot, and the tick publishes it as an `Arc`. A published
//! snapshot never changes; outputs only read it. An unknown value is `None` or absent, never 0.

pub mod agent;
pub mod cgroup;
pub mod disk;
pub mod facefusion;
pub mod gpu;
pub mod gpu_state;
pub mod health;
pub mod host;
pub mod identity;
pub mod inference;
pub mod jobs;
pub mod lifecycle;
pub mod losses;
pub mod machine;
pub mod memory_leak;
pub mod network;
pub mod nvidia_driver;
pub mod oom;
pub mod pci_address;
pub mod problem;
pub mod programs;
pub mod rates;
pub mod requests;
pub mod sandbox;
pub mod scheduler;
pub mod socket_states;
pub mod sockets;
pub mod threads;
pub mod totals;
pub mod uploads;
pub mod work;
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
    facefusion::FaceFusion,
    gpu::ContainerGpu,
    gpu_state::GpuState,
    health::WorkHealth,
    host::Host,
    identity::Identity,
    inference::Inference,
    jobs::Jobs,
    lifecycle::ContainerStatus,
    memory_leak::MemoryFloor,
    network::{HostNetworkCounters, InterfaceCounters},
    nvidia_driver::DriverUsage,
    oom::OomKills,
    problem::Problem,
    programs::ProgramUsage,
    rates::Rates,
    requests::RequestUsage,
    scheduler::SchedulerCounters,
    socket_states::Sockets,
    sockets::SocketUsage,
    threads::Threads,
    work::WorkTime,
};

/// Everything that is known at one tick.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The number of this snapshot, and which snapshots were scraped.
    pub delivery: Delivery,
    /// Time of the tick.
    pub taken_at: SystemTime,
    /// Running containers, and ended ones for `containers.keep_ended_s`; in ascending order of their keys.
    pub containers: Vec<ContainerRow>,
    /// The host itself.
    pub host: Host,
    /// The agent itself.
    pub agent: AgentUsage,
}

/// The number of a snapshot, and the feedback from the outputs, which mark the snapshots that scrapers have received.
/// Clones share the mark.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    number: u64,
    scraped: Arc<AtomicU64>,
}

impl Delivery {
    /// The delivery of the next snapshot.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { number: self.number + 1, scraped: Arc::clone(&self.scraped) }
    }

    /// The number of this snapshot; 0 before the first.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Records that a scraper receives this snapshot. Rows that were final in it may then be dropped.
    pub fn mark_scraped(&self) {
        self.scraped.fetch_max(self.number, Ordering::Relaxed);
    }

    /// The number of the last snapshot that a scraper has received; 0 before the first.
    #[must_use]
    pub fn scraped(&self) -> u64 {
        self.scraped.load(Ordering::Relaxed)
    }
}

/// One container.
#[derive(Clone, Debug)]
pub struct ContainerRow {
    /// Identifies this run of the container. A key is never reused.
    pub key: u64,
    /// ID, names and labels.
    pub identity: Arc<Identity>,
    /// When the agent last saw the container run.
    pub last_seen: SystemTime,
    /// When its cgroup was removed; `None` while the cgroup exists. Afterwards the counters keep their last values.
    pub ended_at: Option<SystemTime>,
    /// Time since `ended_at`.
    pub ended_ago: Option<Duration>,
    /// Whether its cgroup contains processes, or its runtime reports it as running. A runtime may leave behind the
    /// cgroup of an ended container.
    pub running: bool,
    /// True if this row is exported as `glassbox_container_*` series. If several containers have the same display name
    /// (an ended one and its successor), only the youngest is exported, because series must be unique.
    pub owns_name: bool,
    /// Its state, and how its last run ended.
    pub status: ContainerStatus,
    /// Values from its cgroup files.
    pub cgroup: CgroupUsage,
    /// Disk usage of its writable layer; `None` if no source reports it.
    pub disk: Option<Box<DiskUsage>>,
    /// Interfaces of its network namespace; empty if it shares the namespace of the host or of another container.
    pub network: Vec<InterfaceCounters>,
    /// Sockets of that namespace by state; `None` if they are not counted.
    pub socket_states: Option<Arc<Sockets>>,
    /// Traffic and connections of its sockets; `None` if they are not counted.
    pub sockets: Option<Box<SocketUsage>>,
    /// Its traffic on the host network; `None` if it is not on the host network or the traffic is not counted.
    pub host_network: Option<HostNetworkCounters>,
    /// Requests that it serves; `None` if it listens on no watched port.
    pub requests: Option<Box<RequestUsage>>,
    /// Jobs of its Gradio server; `None` if it has had none.
    pub jobs: Option<Box<Jobs>>,
    /// Jobs of FaceFusion; `None` if it has not run here.
    pub facefusion: Option<Box<FaceFusion>>,
    /// OOM kills of its processes.
    pub oom: OomKills,
    /// Listed programs that it has run; empty if it has run none, or they are not counted.
    pub programs: Vec<ProgramUsage>,
    /// Run-queue waits, on-CPU time and context switches; `None` if no kernel program counts them.
    pub scheduler: Option<Box<SchedulerCounters>>,
    /// Its use of the NVIDIA driver; `None` if it has not called the driver.
    pub nvidia_driver: Option<Box<DriverUsage>>,
    /// Its GPU state; `None` if the available data does not determine it.
    pub gpu_state: Option<GpuState>,
    /// Its use of each GPU, by index; empty if it used none.
    pub gpus: Vec<ContainerGpu>,
    /// Its GPUs, inference libraries and model loads; `None` if it has neither GPUs nor loads, or they are not known.
    pub inference: Option<Inference>,
    /// What its threads that took part in its work did at the last look; `None` if no work is in flight.
    pub threads: Option<Threads>,
    /// How its time with work in flight was spent; `None` if no work is counted.
    pub work_time: Option<WorkTime>,
    /// Whether it makes progress; `None` if no work is counted.
    pub health: Option<WorkHealth>,
    /// The floors of its memory between busy periods; empty until a busy period has ended.
    pub memory_floors: Vec<MemoryFloor>,
    /// What it did recently.
    pub rates: Rates,
    /// Its problems, most severe first; empty if there are none.
    pub problems: Vec<Problem>,
    /// Counters of earlier runs of the container, until the analysis adds them to the counters of this run.
    pub earlier: Option<Arc<Totals>>,
}

impl ContainerRow {
    /// A row without any values.
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
            status: ContainerStatus::default(),
            cgroup: CgroupUsage::default(),
            disk: None,
            network: Vec::new(),
            socket_states: None,
            sockets: None,
            host_network: None,
            requests: None,
            jobs: None,
            facefusion: None,
            oom: OomKills::default(),
            programs: Vec::new(),
            scheduler: None,
            nvidia_driver: None,
            gpu_state: None,
            gpus: Vec::new(),
            inference: None,
            threads: None,
            work_time: None,
            health: None,
            memory_floors: Vec::new(),
            rates: Rates::default(),
            problems: Vec::new(),
            earlier: None,
        }
    }

    /// Whether the container is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running && self.ended_at.is_none()
    }

    /// Completes the CPU time of a run that was too short, or ended too quickly, for its cgroup files to be read: only
    /// the kernel program has counted all of it.
    pub fn settle(&mut self) {
        let read_ns = self.cgroup.cpu.usage_ns;
        if self.ended_at.is_some() || read_ns.is_none() {
            let oncpu_ns = self.scheduler.as_ref().map(|usage| usage.oncpu_ns);
            self.cgroup.cpu.usage_ns = read_ns.max(oncpu_ns);
        }
    }
}
