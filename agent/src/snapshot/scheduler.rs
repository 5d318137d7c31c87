//! Run-queue waits, time on CPU and context switches of a container.

use glassbox_ebpf::histogram;

/// One container's scheduling since it was first seen, summed over CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerUsage {
    /// Time on CPU, ns, counted when a task leaves the CPU.
    pub oncpu_ns: u64,
    /// Switches because a task went to sleep.
    pub voluntary_switches: u64,
    /// Switches while a task could have gone on.
    pub involuntary_switches: u64,
    /// Waits from being queued to running.
    pub waits: Histogram,
}

/// A distribution in the kernel's buckets; see [`glassbox_ebpf::histogram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Sum of all durations, ns.
    pub sum_ns: u64,
    /// Durations counted, by [`histogram::slot`].
    pub slots: [u64; histogram::SLOTS],
}
