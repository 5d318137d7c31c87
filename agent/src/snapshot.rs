//! One tick's picture of the host. Collectors fill it, it is published as an `Arc` and never changes again; the
//! outputs only read. Unknown is `None` or absent, never 0.

pub mod agent;
pub mod cgroup;
pub mod disk;
pub mod gpu;
pub mod gpu_state;
pub mod lifecycle;
pub mod losses;
pub mod machine;
pub mod network;
pub mod nvidia_driver;
pub mod oom;
pub mod scheduler;
pub mod sockets;
pub mod xid;

use std::{sync::Arc, time::SystemTime};

use self::{
    agent::AgentUsage,
    cgroup::CgroupUsage,
    disk::{DiskReading, DiskUsage},
    gpu::{ContainerGpu, Gpu, NvmlUsage},
    gpu_state::GpuState,
    lifecycle::Lifecycle,
    machine::Machine,
    network::{HostNetwork, InterfaceCounters},
    nvidia_driver::DriverUsage,
    oom::OomKills,
    scheduler::SchedulerUsage,
    sockets::Sockets,
};
use crate::containers::Identity;

/// Everything known at one tick.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When the tick was taken.
    pub taken_at: SystemTime,
    /// Running containers and, for some minutes, those that ended; unordered.
    pub containers: Vec<ContainerRow>,
    /// The GPUs of this host, by index.
    pub gpus: Vec<Gpu>,
    /// GPUs that NVML does not know: their PCI addresses and Xid errors, and nothing else.
    pub stray_gpus: Vec<Gpu>,
    /// How NVML fares; `None` where its collector is off.
    pub nvml: Option<NvmlUsage>,
    /// How the reading of writable layers fares; `None` where its collector is off.
    pub disk: Option<DiskReading>,
    /// The host; `None` where its collector is off.
    pub machine: Option<Arc<Machine>>,
    /// The agent itself.
    pub agent: AgentUsage,
}

/// What is known of one container.
#[derive(Clone, Debug)]
pub struct ContainerRow {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When it was last seen alive.
    pub last_seen: SystemTime,
    /// When it ended; `None` while it lives. Its counters then stay as they were last read.
    pub ended_at: Option<SystemTime>,
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
    pub host_network: Option<HostNetwork>,
    /// Its processes that the kernel killed because memory ran out.
    pub oom: OomKills,
    /// Run-queue waits, time on CPU, switches. `None` where no kernel program counts for it.
    pub scheduler: Option<Box<SchedulerUsage>>,
    /// Its use of the NVIDIA driver. `None` where it makes none.
    pub nvidia_driver: Option<Box<DriverUsage>>,
    /// What it is doing with its GPUs. `None` where what is known does not tell.
    pub gpu_state: Option<GpuState>,
    /// What it does on GPUs, by index; empty where it was on none.
    pub gpus: Vec<ContainerGpu>,
}

impl ContainerRow {
    /// A container about which nothing has been read yet.
    #[must_use]
    pub fn new(identity: Arc<Identity>, now: SystemTime) -> Self {
        Self {
            identity,
            last_seen: now,
            ended_at: None,
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
        }
    }
}
