//! The contract between the kernel programs and the agent. All types, bucket boundaries, map names and program names
//! that both sides use are defined here and nowhere else.
//!
//! `no_std`, because the kernel programs include this crate, too. The types are `#[repr(C)]` and contain only whole
//! words, so both sides agree on their layout and there is no padding.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod container_programs;
pub mod containers;
pub mod counters;
pub mod histogram;
pub mod host_network;
pub mod nvidia_driver;
pub mod offsets;
pub mod oom;
pub mod requests;
pub mod scheduler;
pub mod sockets;

/// Names of the maps. The statics in the kernel programs have the same names.
pub mod maps {
    /// Array of [`CgroupBucket`](crate::containers::CgroupBucket): cgroups created while the agent runs. Written by the
    /// kernel.
    pub const CGROUPS_BORN: &str = "CGROUPS_BORN";
    /// Array of [`CgroupBucket`](crate::containers::CgroupBucket): cgroups found by the agent's walks. Written by user
    /// space.
    pub const CGROUPS_FOUND: &str = "CGROUPS_FOUND";
    /// Queue of free slot numbers.
    pub const CGROUP_SLOTS: &str = "CGROUP_SLOTS";
    /// Array of [`Charge`](crate::containers::Charge), one per container slot. Written by the kernel.
    pub const CGROUP_CHARGES: &str = "CGROUP_CHARGES";
    /// Array with one element per container slot: the number of slots that user space has claimed for containers inside
    /// that container. Written by user space.
    pub const CGROUP_CLAIMS: &str = "CGROUP_CLAIMS";
    /// Ring buffer of [`CgroupEvent`](crate::containers::CgroupEvent).
    pub const CGROUP_EVENTS: &str = "CGROUP_EVENTS";
    /// Per-CPU array of [`SchedulerCounters`](crate::scheduler::SchedulerCounters), one per container slot.
    pub const SCHEDULER: &str = "SCHEDULER";
    /// Array of [`WaitEntry`](crate::scheduler::WaitEntry), direct-mapped by pid.
    pub const SCHEDULER_WAITS: &str = "SCHEDULER_WAITS";
    /// Hash of device kinds by the key of an inode. Written by user space.
    pub const NVIDIA_DEVICES: &str = "NVIDIA_DEVICES";
    /// Array of [`Layout`](crate::nvidia_driver::Layout). Written by user space.
    pub const NVIDIA_LAYOUTS: &str = "NVIDIA_LAYOUTS";
    /// Array of [`CallInFlight`](crate::nvidia_driver::CallInFlight), direct-mapped by thread.
    pub const NVIDIA_IN_FLIGHT: &str = "NVIDIA_IN_FLIGHT";
    /// Hash of [`Histogram`](crate::histogram::Histogram) by [`CallKey`](crate::nvidia_driver::CallKey).
    pub const NVIDIA_CALLS: &str = "NVIDIA_CALLS";
    /// Hash of counts by [`FailureKey`](crate::nvidia_driver::FailureKey).
    pub const NVIDIA_FAILURES: &str = "NVIDIA_FAILURES";
    /// Array of [`DriverSlot`](crate::nvidia_driver::DriverSlot), one per container slot.
    pub const NVIDIA_SLOTS: &str = "NVIDIA_SLOTS";
    /// LRU hash of sizes by [`AllocationKey`](crate::nvidia_driver::AllocationKey).
    pub const NVIDIA_ALLOCATIONS: &str = "NVIDIA_ALLOCATIONS";
    /// LRU hash of [`DriverProcess`](crate::nvidia_driver::DriverProcess) by process ID.
    pub const NVIDIA_PROCESSES: &str = "NVIDIA_PROCESSES";
    /// Array of [`PollInFlight`](crate::nvidia_driver::PollInFlight), direct-mapped by thread.
    pub const NVIDIA_POLLS: &str = "NVIDIA_POLLS";
    /// Hash of [`XidCount`](crate::nvidia_driver::xid::XidCount) by [`XidKey`](crate::nvidia_driver::xid::XidKey).
    pub const NVIDIA_XIDS: &str = "NVIDIA_XIDS";
    /// One [`XidRecord`](crate::nvidia_driver::xid::XidRecord). Written by user space.
    pub const NVIDIA_XID_RECORD: &str = "NVIDIA_XID_RECORD";
    /// Array of kill counts, one per container slot. The count of the shared slot includes all kills on the host. See
    /// [`oom`](crate::oom).
    pub const OOM_KILLS: &str = "OOM_KILLS";
    /// Array of words that identify recent victims, direct-mapped by process.
    pub const OOM_VICTIMS: &str = "OOM_VICTIMS";
    /// Array of [`SlotPrograms`](crate::container_programs::SlotPrograms), one per container slot.
    pub const PROGRAMS: &str = "PROGRAMS";
    /// Hash of [`Run`](crate::container_programs::Run) by process ID.
    pub const PROGRAM_RUNS: &str = "PROGRAM_RUNS";
    /// Per-CPU array of [`HostNetworkCounters`](crate::host_network::HostNetworkCounters), one per container slot.
    pub const HOST_NETWORK: &str = "HOST_NETWORK";
    /// Per-CPU array of [`SocketCounters`](crate::sockets::SocketCounters), one per container slot.
    pub const SOCKETS: &str = "SOCKETS";
    /// Array of [`ConnectionCounters`](crate::sockets::ConnectionCounters), one per container slot.
    pub const SOCKET_CONNECTIONS: &str = "SOCKET_CONNECTIONS";
    /// Array of [`AcceptQueue`](crate::sockets::AcceptQueue), one per container slot. User space clears it.
    pub const SOCKET_QUEUES: &str = "SOCKET_QUEUES";
    /// Hash of the number of listening sockets by [`ListenerKey`](crate::sockets::ListenerKey).
    pub const SOCKET_LISTENERS: &str = "SOCKET_LISTENERS";
    /// Per-CPU array of [`UnixCounters`](crate::sockets::UnixCounters), one per container slot.
    pub const SOCKET_UNIX: &str = "SOCKET_UNIX";
    /// Array of [`RequestCounters`](crate::requests::service::RequestCounters), one per container slot.
    pub const REQUESTS: &str = "REQUESTS";
    /// Array of [`Service`](crate::requests::service::Service), one per container slot.
    pub const REQUEST_SERVICES: &str = "REQUEST_SERVICES";
    /// One [`RequestSettings`](crate::requests::service::RequestSettings). Written by user space.
    pub const REQUEST_SETTINGS: &str = "REQUEST_SETTINGS";
    /// The program that follows what containers receive.
    pub const REQUEST_INGRESS: &str = "REQUEST_INGRESS";
    /// The program that follows what containers send.
    pub const REQUEST_EGRESS: &str = "REQUEST_EGRESS";
    /// LRU hash of [`Connection`](crate::requests::connection::Connection) by
    /// [`ConnectionKey`](crate::requests::connection::ConnectionKey).
    pub const REQUEST_CONNECTIONS: &str = "REQUEST_CONNECTIONS";
    /// LRU hash of [`Carry`](crate::requests::connection::Carry) by
    /// [`CarryKey`](crate::requests::connection::CarryKey).
    pub const REQUEST_CARRIES: &str = "REQUEST_CARRIES";
    /// Ring buffer of [`Piece`](crate::requests::piece::Piece).
    pub const REQUEST_PIECES: &str = "REQUEST_PIECES";
    /// One connection without data, from which the kernel programs copy new ones.
    pub const REQUEST_EMPTY: &str = "REQUEST_EMPTY";
    /// Array of [`Recent`](crate::requests::retries::Recent), one per container slot.
    pub const REQUEST_RECENT: &str = "REQUEST_RECENT";
    /// LRU hash of [`Failures`](crate::requests::retries::Failures) by
    /// [`FailureKey`](crate::requests::retries::FailureKey).
    pub const REQUEST_FAILURES: &str = "REQUEST_FAILURES";
    /// Ring buffer of [`SlowRequest`](crate::requests::slow::SlowRequest).
    pub const REQUEST_SLOW: &str = "REQUEST_SLOW";
    /// Ring buffer of [`UploadStart`](crate::requests::upload::UploadStart).
    pub const REQUEST_UPLOADS: &str = "REQUEST_UPLOADS";
    /// Per-CPU array of counters, one per [`Lost`](crate::Lost).
    pub const LOST: &str = "LOST";
    /// Ring buffer of [`ModuleEvent`](crate::nvidia_driver::ModuleEvent).
    pub const NVIDIA_MODULES: &str = "NVIDIA_MODULES";
    /// Maps with one element per container slot. User space resizes them to the configured number of containers.
    pub const PER_SLOT: [&str; 14] = [
        CGROUP_CHARGES,
        CGROUP_CLAIMS,
        SCHEDULER,
        HOST_NETWORK,
        SOCKETS,
        SOCKET_CONNECTIONS,
        SOCKET_QUEUES,
        SOCKET_UNIX,
        OOM_KILLS,
        PROGRAMS,
        NVIDIA_SLOTS,
        REQUESTS,
        REQUEST_SERVICES,
        REQUEST_RECENT,
    ];
    /// All maps.
    pub const ALL: [&str; 42] = [
        CGROUPS_BORN,
        CGROUPS_FOUND,
        CGROUP_SLOTS,
        CGROUP_CHARGES,
        CGROUP_CLAIMS,
        CGROUP_EVENTS,
        SCHEDULER,
        SCHEDULER_WAITS,
        NVIDIA_DEVICES,
        NVIDIA_LAYOUTS,
        NVIDIA_IN_FLIGHT,
        NVIDIA_CALLS,
        NVIDIA_FAILURES,
        NVIDIA_SLOTS,
        NVIDIA_ALLOCATIONS,
        NVIDIA_PROCESSES,
        NVIDIA_POLLS,
        NVIDIA_XIDS,
        NVIDIA_XID_RECORD,
        NVIDIA_MODULES,
        OOM_KILLS,
        OOM_VICTIMS,
        PROGRAMS,
        PROGRAM_RUNS,
        HOST_NETWORK,
        SOCKETS,
        SOCKET_CONNECTIONS,
        SOCKET_QUEUES,
        SOCKET_LISTENERS,
        SOCKET_UNIX,
        REQUESTS,
        REQUEST_SERVICES,
        REQUEST_SETTINGS,
        REQUEST_CONNECTIONS,
        REQUEST_CARRIES,
        REQUEST_EMPTY,
        REQUEST_PIECES,
        REQUEST_RECENT,
        REQUEST_FAILURES,
        REQUEST_SLOW,
        REQUEST_UPLOADS,
        LOST,
    ];
}

/// Names of the kernel programs: `<probe>_<hook>`. The probe comes first because bpftool shows only 15 characters.
pub mod programs {
    /// Measures run-queue latency, on-CPU time and context switches; needs `sched_info`.
    pub const SCHEDULER_SWITCH: &str = "scheduler_sched_switch";
    /// Measures the same without `sched_info`: the switch part of the method wakeup + switch.
    pub const SCHEDULER_FALLBACK_SWITCH: &str = "scheduler_fallback_switch";
    /// The wakeup part of the method wakeup + switch.
    pub const SCHEDULER_FALLBACK_WAKEUP: &str = "scheduler_fallback_wakeup";
    /// The wakeup part for tasks that were just forked.
    pub const SCHEDULER_FALLBACK_WAKEUP_NEW: &str = "scheduler_fallback_wakeup_new";
    /// Runs when a cgroup was created. Claims a slot if the cgroup is a container's.
    pub const CGROUP_MKDIR: &str = "cgroup_mkdir";
    /// Runs when a cgroup was removed. Removes it from the table.
    pub const CGROUP_RMDIR: &str = "cgroup_rmdir";
    /// Runs when the last process has left a cgroup, so that user space takes a final reading.
    pub const CGROUP_EMPTIED: &str = "cgroup_emptied";
    /// Start of an ioctl; tracepoint method.
    pub const NVIDIA_DRIVER_ENTER: &str = "nvidia_driver_enter";
    /// End of an ioctl; tracepoint method.
    pub const NVIDIA_DRIVER_EXIT: &str = "nvidia_driver_exit";
    /// Call of an ioctl function of nvidia.ko; kprobe method.
    pub const NVIDIA_DRIVER_CALL: &str = "nvidia_driver_call";
    /// Call of the ioctl function of nvidia-uvm; kprobe method.
    pub const NVIDIA_DRIVER_UVM_CALL: &str = "nvidia_driver_uvm_call";
    /// Call of the ioctl function of /dev/nvidia-uvm-tools; kprobe method.
    pub const NVIDIA_DRIVER_TOOLS_CALL: &str = "nvidia_driver_tools_call";
    /// Call of the ioctl function of nvidia-modeset; kprobe method.
    pub const NVIDIA_DRIVER_MODESET_CALL: &str = "nvidia_driver_modeset_call";
    /// Return of any of these ioctl functions; kprobe method.
    pub const NVIDIA_DRIVER_RETURN: &str = "nvidia_driver_return";
    /// Call of the driver's poll function; kprobe method.
    pub const NVIDIA_DRIVER_POLL: &str = "nvidia_driver_poll";
    /// The driver reports a GPU error; kprobe method.
    pub const NVIDIA_DRIVER_REPORT: &str = "nvidia_driver_report";
    /// The driver reports a GPU error; tracepoint method.
    pub const NVIDIA_DRIVER_XID: &str = "nvidia_driver_xid";
    /// A module of the NVIDIA driver is loaded; its init function has not run yet.
    pub const NVIDIA_DRIVER_MODULE_LOAD: &str = "nvidia_driver_module_load";
    /// A module of the NVIDIA driver is unloaded.
    pub const NVIDIA_DRIVER_MODULE_FREE: &str = "nvidia_driver_module_free";
    /// The OOM killer has chosen a process. Counts the task that [`OOM_SIGNAL`] noted.
    pub const OOM_VICTIM: &str = "oom_victim";
    /// A signal is sent. Notes the task if the kernel itself kills it, for any reason.
    pub const OOM_SIGNAL: &str = "oom_signal";
    /// A process has executed a program.
    pub const PROGRAMS_EXEC: &str = "programs_exec";
    /// A thread exits.
    pub const PROGRAMS_EXIT: &str = "programs_exit";
    /// A socket of a container receives a packet.
    pub const HOST_NETWORK_INGRESS: &str = "host_network_ingress";
    /// A socket of a container sends a packet.
    pub const HOST_NETWORK_EGRESS: &str = "host_network_egress";
    /// A socket of a container receives a packet; for containers on any network.
    pub const SOCKETS_INGRESS: &str = "sockets_ingress";
    /// A socket of a container sends a packet; for containers on any network.
    pub const SOCKETS_EGRESS: &str = "sockets_egress";
    /// A TCP socket of a container is connected, accepted, closed, listens, or sends a segment again.
    pub const SOCKETS_OPERATIONS: &str = "sockets_operations";
    /// A socket sends a reset.
    pub const SOCKETS_RESET_SENT: &str = "sockets_reset_sent";
    /// A socket receives a reset.
    pub const SOCKETS_RESET_RECEIVED: &str = "sockets_reset_received";
    /// A UDP socket drops a datagram.
    pub const SOCKETS_UDP_DROP: &str = "sockets_udp_drop";
    /// A process has written to a socket.
    pub const SOCKETS_SEND: &str = "sockets_send";
    /// A process has read from a socket.
    pub const SOCKETS_RECEIVE: &str = "sockets_receive";
    /// A container receives a packet at a watched port. Called by the ingress program of the sockets.
    pub const REQUESTS_INGRESS: &str = "requests_ingress";
    /// A container sends a packet from a watched port. Called by the egress program of the sockets.
    pub const REQUESTS_EGRESS: &str = "requests_egress";
    /// Does nothing: the baseline for the cost of the scheduler's program.
    pub const EMPTY_SWITCH: &str = "empty_sched_switch";
    /// The baseline for the tracepoints of ioctl(2).
    pub const EMPTY_IOCTL: &str = "empty_ioctl";
    /// The baseline for the entry of a function.
    pub const EMPTY_CALL: &str = "empty_call";
    /// The baseline for the return of a function.
    pub const EMPTY_RETURN: &str = "empty_return";
    /// The baseline for packets that the sockets of a cgroup receive.
    pub const EMPTY_INGRESS: &str = "empty_ingress";
    /// The baseline for packets that the sockets of a cgroup send.
    pub const EMPTY_EGRESS: &str = "empty_egress";
    /// Loses some of the packets that the sockets of a cgroup receive. For tests.
    pub const LOSSY_INGRESS: &str = "lossy_ingress";
    /// Loses some of the packets that the sockets of a cgroup send. For tests.
    pub const LOSSY_EGRESS: &str = "lossy_egress";
    /// Loses some of the packets of a network device. For tests.
    pub const LOSSY_LINK: &str = "lossy_link";
}

/// Constants of one run of the agent. They are frozen before verification, so that the verifier sees constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Thread-group ID of the agent. The agent's own activity is not counted.
    pub agent_tgid: u32,
    /// Hierarchy that contains the containers' cgroups: 0 for cgroup v2, else the number of the v1 `cpu` hierarchy.
    pub hierarchy_id: u32,
    /// Number of buckets in each cgroup table, minus one. The number is a power of two.
    pub cgroup_mask: u32,
    /// Number of entries in [`maps::SCHEDULER_WAITS`], minus one. The number is a power of two.
    pub wait_mask: u32,
    /// Maximum number of slots for containers inside one container.
    pub slots_per_container: u32,
    /// Maximum number of entries in each cgroup table for cgroups nested in one container.
    pub nested_per_container: u32,
    /// Duration from which on a request is slow, in ms; 0 if slow requests are not recorded.
    pub slow_request_ms: u32,
}

impl Settings {
    /// The values in the object file, which user space overrides.
    pub const UNSET: Self = Self {
        agent_tgid: 0,
        hierarchy_id: 0,
        cgroup_mask: 0,
        wait_mask: 0,
        slots_per_container: 0,
        nested_per_container: 0,
        slow_request_ms: 0,
    };
}

/// Kinds of events that the kernel programs had to drop or could not measure.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A container started while no slot was free, or while the container around it had used its share of slots.
    CgroupSlots = 0,
    /// A cgroup nested in a container was not entered in the table because its bucket was full, or because the
    /// container had used its share of the table.
    CgroupTable = 1,
    /// The ring buffer had no room for a cgroup event.
    CgroupEvents = 2,
    /// A task got a CPU, but the time when it was queued is not recorded, so its wait is unknown.
    SchedulerUnqueued = 3,
    /// A task had waited on another CPU before, but its entry in the direct-mapped array was overwritten. Only the last
    /// part of this wait was counted.
    SchedulerWaits = 4,
    /// A driver call was not counted because another thread overwrote its entry in the direct-mapped array, or because
    /// its end was never seen.
    NvidiaCalls = 5,
    /// A map of driver commands or failures had no room for another combination.
    NvidiaCommands = 6,
    /// A wait in poll(2) may have been missed because another thread held its entry in the direct-mapped array when it
    /// ended.
    NvidiaPolls = 7,
    /// The map of Xid errors had no room for another combination of GPU and Xid.
    NvidiaXids = 8,
    /// A module of the NVIDIA driver was loaded and in use before its calls were traced, so calls may be missing. User
    /// space counts this, once per module and load.
    NvidiaAttach = 9,
    /// A listening port of a container was not entered in the map, because the map was full or because the container
    /// had used its share.
    SocketListeners = 10,
    /// A container listens on more ports than can be watched for requests.
    RequestPorts = 11,
    /// A piece of a job message was not sent: the ring buffer was full, or the container had sent its share.
    RequestPieces = 12,
    /// A record of a slow request was not sent: the ring buffer was full, or the container had sent its share.
    SlowRequests = 13,
    /// The first bytes of an upload were not sent: the ring buffer was full, or the container had sent its share.
    RequestUploads = 14,
    /// A process that runs a listed program was not entered in the map: the map was full, or the container had used its
    /// share.
    ProgramRuns = 15,
}

impl Lost {
    /// All kinds, in the order of their counters.
    pub const ALL: [Self; 16] = [
        Self::CgroupSlots,
        Self::CgroupTable,
        Self::CgroupEvents,
        Self::SchedulerUnqueued,
        Self::SchedulerWaits,
        Self::NvidiaCalls,
        Self::NvidiaCommands,
        Self::NvidiaPolls,
        Self::NvidiaXids,
        Self::NvidiaAttach,
        Self::SocketListeners,
        Self::RequestPorts,
        Self::RequestPieces,
        Self::SlowRequests,
        Self::RequestUploads,
        Self::ProgramRuns,
    ];

    /// The value of the label `source` of `glassbox_lost_events_total`.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::CgroupSlots => "cgroup_slots",
            Self::CgroupTable => "cgroup_table",
            Self::CgroupEvents => "cgroup_events",
            Self::SchedulerUnqueued => "scheduler_unqueued",
            Self::SchedulerWaits => "scheduler_waits",
            Self::NvidiaCalls => "nvidia_calls",
            Self::NvidiaCommands => "nvidia_commands",
            Self::NvidiaPolls => "nvidia_polls",
            Self::NvidiaXids => "nvidia_xids",
            Self::NvidiaAttach => "nvidia_attach",
            Self::SocketListeners => "socket_listeners",
            Self::RequestPorts => "request_ports",
            Self::RequestPieces => "request_pieces",
            Self::SlowRequests => "slow_requests",
            Self::RequestUploads => "request_uploads",
            Self::ProgramRuns => "program_runs",
        }
    }
}

// SAFETY: `repr(C)`, seven u32, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Settings {}
