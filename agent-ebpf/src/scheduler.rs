//! What the scheduler programs count, per container slot and CPU.

use crate::histogram;

/// One container's scheduling on one CPU since its slot was cleared.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SchedulerSlot {
    /// Time spent running, in ns, counted when a task leaves the CPU.
    pub oncpu_ns: u64,
    /// Sum of the waits that `wait_slots` counts, in ns.
    pub wait_ns: u64,
    /// Switches because the task went to sleep.
    pub voluntary_switches: u64,
    /// Switches while the task could have gone on.
    pub involuntary_switches: u64,
    /// Waits from being queued to running, by [`histogram::slot`].
    pub wait_slots: [u64; histogram::SLOTS],
}

impl SchedulerSlot {
    /// Nothing counted.
    pub const EMPTY: Self = Self {
        oncpu_ns: 0,
        wait_ns: 0,
        voluntary_switches: 0,
        involuntary_switches: 0,
        wait_slots: [0; histogram::SLOTS],
    };
}

/// What is remembered of a task between two switches. One cache line, because two CPUs that write to one line
/// cost more than the whole program: 140 ns a switch instead of 40 where the entries straddled lines.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct WaitEntry {
    /// The thread the entry belongs to; 0 is nobody.
    pub pid: u64,
    /// Main rung: `sched_info.run_delay` in ns at the last switch-out. Fallback rung: when it was queued, ns.
    pub at_ns: u64,
    /// Fallback rung: when it got the CPU, ns.
    pub arrival_ns: u64,
    /// Address of what holds the task's cgroup, when `slot` was looked up.
    pub cgroup: u64,
    /// The slot of that cgroup, with the thread and the time of the look-up: see `probes/scheduler.rs`.
    pub slot: u64,
    /// Fills the line.
    pub unused: [u64; 3],
}

/// Entries of the direct-mapped array: 1 MiB. A power of two.
pub const WAIT_ENTRIES: u32 = 16_384;

// SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SchedulerSlot {}
// SAFETY: as above; eight u64 fill the 64-byte line.
#[cfg(feature = "user")]
unsafe impl aya::Pod for WaitEntry {}
