//! The contract between the kernel programs and the agent: every type, bucket boundary, map name and program
//! name that crosses the border stands here and nowhere else.
//!
//! `no_std`, because the kernel side includes it too. The types are `#[repr(C)]` and hold whole words only, so
//! both sides agree on their layout without padding.
#![no_std]

pub mod containers;
pub mod counters;
pub mod histogram;
pub mod host_network;
pub mod nvidia_driver;
pub mod offsets;
pub mod oom;
pub mod scheduler;

/// Names of the maps, as user space asks for them. The statics in the kernel programs bear the same names.
pub mod maps {
    /// Array of [`CgroupBucket`](crate::containers::CgroupBucket): cgroups born while the agent ran. Kernel writes.
    pub const CGROUPS_BORN: &str = "CGROUPS_BORN";
    /// Array of [`CgroupBucket`](crate::containers::CgroupBucket): cgroups the agent found. User space writes.
    pub const CGROUPS_FOUND: &str = "CGROUPS_FOUND";
    /// Queue of slot numbers that nobody holds.
    pub const CGROUP_SLOTS: &str = "CGROUP_SLOTS";
    /// Array of [`Charge`](crate::containers::Charge), one per container slot. Kernel writes.
    pub const CGROUP_CHARGES: &str = "CGROUP_CHARGES";
    /// Array of numbers of slots, one per container slot: those that user space claimed for containers within. User
    /// space writes.
    pub const CGROUP_CLAIMS: &str = "CGROUP_CLAIMS";
    /// Ring buffer of [`CgroupEvent`](crate::containers::CgroupEvent).
    pub const CGROUP_EVENTS: &str = "CGROUP_EVENTS";
    /// Per-CPU array of [`SchedulerCounters`](crate::scheduler::SchedulerCounters), one per container slot.
    pub const SCHEDULER: &str = "SCHEDULER";
    /// Array of [`WaitEntry`](crate::scheduler::WaitEntry), direct-mapped by pid.
    pub const SCHEDULER_WAITS: &str = "SCHEDULER_WAITS";
    /// Hash of device kinds by the key of an inode. User space writes.
    pub const NVIDIA_DEVICES: &str = "NVIDIA_DEVICES";
    /// Array of [`Layout`](crate::nvidia_driver::Layout). User space writes.
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
    /// LRU hash of [`DriverProcess`](crate::nvidia_driver::DriverProcess) by process id.
    pub const NVIDIA_PROCESSES: &str = "NVIDIA_PROCESSES";
    /// Array of [`PollInFlight`](crate::nvidia_driver::PollInFlight), direct-mapped by thread.
    pub const NVIDIA_POLLS: &str = "NVIDIA_POLLS";
    /// Hash of [`XidCount`](crate::nvidia_driver::xid::XidCount) by [`XidKey`](crate::nvidia_driver::xid::XidKey).
    pub const NVIDIA_XIDS: &str = "NVIDIA_XIDS";
    /// One [`XidRecord`](crate::nvidia_driver::xid::XidRecord). User space writes.
    pub const NVIDIA_XID_RECORD: &str = "NVIDIA_XID_RECORD";
    /// Array of counts of kills, one per container slot; the shared slot's counts all. See [`oom`](crate::oom).
    pub const OOM_KILLS: &str = "OOM_KILLS";
    /// Array of words by which a victim is known again, direct-mapped by process.
    pub const OOM_VICTIMS: &str = "OOM_VICTIMS";
    /// Per-CPU array of [`HostNetworkCounters`](crate::host_network::HostNetworkCounters), one per container slot.
    pub const HOST_NETWORK: &str = "HOST_NETWORK";
    /// Per-CPU array of counters, one per [`Lost`](crate::Lost).
    pub const LOST: &str = "LOST";
    /// Ring buffer of [`ModuleEvent`](crate::nvidia_driver::ModuleEvent).
    pub const NVIDIA_MODULES: &str = "NVIDIA_MODULES";
    /// Those with one element for each container slot, which user space resizes to the configured number of containers.
    pub const PER_SLOT: [&str; 6] =
        [CGROUP_CHARGES, CGROUP_CLAIMS, SCHEDULER, HOST_NETWORK, OOM_KILLS, NVIDIA_SLOTS];
    /// All of them.
    pub const ALL: [&str; 24] = [
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
        HOST_NETWORK,
        LOST,
    ];
}

/// Names of the kernel programs: `<stem>_<hook>`, with the stem first because bpftool shows 15 characters.
pub mod programs {
    /// Run-queue wait, on-CPU time and switches; needs `sched_info`.
    pub const SCHEDULER_SWITCH: &str = "scheduler_sched_switch";
    /// The same without `sched_info`: the switch half of the wakeup + switch method.
    pub const SCHEDULER_FALLBACK_SWITCH: &str = "scheduler_fallback_switch";
    /// The wakeup half of the wakeup + switch method.
    pub const SCHEDULER_FALLBACK_WAKEUP: &str = "scheduler_fallback_wakeup";
    /// The wakeup half for tasks that were just forked.
    pub const SCHEDULER_FALLBACK_WAKEUP_NEW: &str = "scheduler_fallback_wakeup_new";
    /// A cgroup was made: claim a slot if it is a container's.
    pub const CGROUP_MKDIR: &str = "cgroup_mkdir";
    /// A cgroup was removed: forget it.
    pub const CGROUP_RMDIR: &str = "cgroup_rmdir";
    /// The last process left a cgroup: time for a final reading.
    pub const CGROUP_EMPTIED: &str = "cgroup_emptied";
    /// An ioctl begins: tracepoint method.
    pub const NVIDIA_DRIVER_ENTER: &str = "nvidia_driver_enter";
    /// It ends.
    pub const NVIDIA_DRIVER_EXIT: &str = "nvidia_driver_exit";
    /// The driver's own function is called: kprobe method.
    pub const NVIDIA_DRIVER_CALL: &str = "nvidia_driver_call";
    /// The ioctl function of nvidia-uvm is called: kprobe method.
    pub const NVIDIA_DRIVER_UVM_CALL: &str = "nvidia_driver_uvm_call";
    /// The ioctl function of /dev/nvidia-uvm-tools is called: kprobe method.
    pub const NVIDIA_DRIVER_TOOLS_CALL: &str = "nvidia_driver_tools_call";
    /// The ioctl function of nvidia-modeset is called: kprobe method.
    pub const NVIDIA_DRIVER_MODESET_CALL: &str = "nvidia_driver_modeset_call";
    /// One of these functions returns.
    pub const NVIDIA_DRIVER_RETURN: &str = "nvidia_driver_return";
    /// The driver is asked whether a device is ready: kprobe method.
    pub const NVIDIA_DRIVER_POLL: &str = "nvidia_driver_poll";
    /// The driver reports an error of a GPU: kprobe method.
    pub const NVIDIA_DRIVER_REPORT: &str = "nvidia_driver_report";
    /// The same: tracepoint method.
    pub const NVIDIA_DRIVER_XID: &str = "nvidia_driver_xid";
    /// A module of the NVIDIA driver is loaded; its init function has not run yet.
    pub const NVIDIA_DRIVER_MODULE_LOAD: &str = "nvidia_driver_module_load";
    /// A module of the NVIDIA driver is unloaded.
    pub const NVIDIA_DRIVER_MODULE_FREE: &str = "nvidia_driver_module_free";
    /// The OOM killer has chosen a process, which the hook gives as a task.
    pub const OOM_VICTIM: &str = "oom_victim";
    /// The same by a thread's id alone: counts the task that [`OOM_SIGNAL`] noted.
    pub const OOM_VICTIM_PID: &str = "oom_victim_pid";
    /// The kernel itself kills a process, for whatever reason.
    pub const OOM_SIGNAL: &str = "oom_signal";
    /// A socket of a container receives a packet.
    pub const HOST_NETWORK_INGRESS: &str = "host_network_ingress";
    /// It sends one.
    pub const HOST_NETWORK_EGRESS: &str = "host_network_egress";
    /// Does nothing; what the cost of every other program is compared with.
    pub const EMPTY_SWITCH: &str = "empty_sched_switch";
    /// The same for the tracepoints of ioctl(2).
    pub const EMPTY_IOCTL: &str = "empty_ioctl";
    /// The same for a function that is called.
    pub const EMPTY_CALL: &str = "empty_call";
    /// The same for one that returns.
    pub const EMPTY_RETURN: &str = "empty_return";
    /// The same for the packets that sockets of a cgroup receive.
    pub const EMPTY_INGRESS: &str = "empty_ingress";
    /// The same for those that they send.
    pub const EMPTY_EGRESS: &str = "empty_egress";
}

/// Constants of one run, frozen before the programs are verified, so that the verifier sees numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Thread-group id of the agent itself, whose activity is nobody's.
    pub agent_tgid: u32,
    /// Hierarchy whose cgroups are the containers': 0 is cgroup v2, else the v1 `cpu` hierarchy's number.
    pub hierarchy_id: u32,
    /// Buckets in each cgroup table less one; the tables' sizes are powers of two.
    pub cgroup_mask: u32,
    /// Entries in [`maps::SCHEDULER_WAITS`] less one; a power of two less one.
    pub wait_mask: u32,
    /// Most slots of containers within one container.
    pub slots_per_container: u32,
    /// Most entries of each cgroup table for cgroups nested in one container.
    pub nested_per_container: u32,
}

impl Settings {
    /// What the object file holds before user space overrides it.
    pub const UNSET: Self = Self {
        agent_tgid: 0,
        hierarchy_id: 0,
        cgroup_mask: 0,
        wait_mask: 0,
        slots_per_container: 0,
        nested_per_container: 0,
    };
}

/// Facts that the kernel side could not keep, counted where they were lost.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A container was started while every slot was held, or those that the container around it may occupy.
    CgroupSlots = 0,
    /// A cgroup nested in a container was not entered: its bucket of the table was full, or the container occupies its
    /// share of the table.
    CgroupTable = 1,
    /// The ring buffer had no room for a cgroup event.
    CgroupEvents = 2,
    /// A task got the CPU with no time of queueing recorded, so its wait is unknown.
    SchedulerUnqueued = 3,
    /// A task had waited before on another CPU and its earlier wait had been overwritten in the direct-mapped
    /// array, so only the last part of this wait was counted.
    SchedulerWaits = 4,
    /// A driver call was lost sight of: another thread took its entry of the direct-mapped array, or its end was never
    /// seen.
    NvidiaCalls = 5,
    /// A map of driver commands or failures had no room for another combination.
    NvidiaCommands = 6,
    /// A wait in poll(2) may have been lost: at its end another thread held its entry of the direct-mapped array.
    NvidiaPolls = 7,
    /// The map of Xid errors had no room for another combination of GPU and Xid.
    NvidiaXids = 8,
    /// A module of the NVIDIA driver was loaded and in use before its calls were traced, so that some may be missing.
    /// Counted by user space, once per module and load.
    NvidiaAttach = 9,
}

impl Lost {
    /// Every kind, in the order of its counter.
    pub const ALL: [Self; 10] = [
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
        }
    }
}

// SAFETY: `repr(C)`, six u32, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Settings {}
