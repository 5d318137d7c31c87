//! Counters of the scheduler programs, per container slot and CPU.

use crate::{counters::counters, histogram::Histogram};

counters! {
    /// Scheduling of one container, on one CPU or summed over CPUs, since its slot was cleared.
    pub struct SchedulerCounters {
        /// Time on CPU in ns, counted when a task leaves the CPU.
        pub oncpu_ns: u64,
        /// Context switches because the task went to sleep.
        pub voluntary_switches: u64,
        /// Context switches while the task was still runnable.
        pub involuntary_switches: u64,
        /// Waits from the moment a task is queued until it runs.
        pub waits: Histogram,
    }
}

/// State of a task between two context switches. Each entry fills one cache line: when entries straddled lines, two
/// CPUs wrote to the same line, and a switch cost 140 ns instead of 40.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct WaitEntry {
    /// The thread that the entry belongs to; 0 if the entry is free.
    pub pid: u64,
    /// Main method: `sched_info.run_delay` in ns at the last switch-out. Fallback method: when the task was queued, in
    /// ns.
    pub at_ns: u64,
    /// Fallback method: when the task got the CPU, in ns.
    pub arrival_ns: u64,
    /// Address of the object that referred to the task's cgroup when `slot` was looked up.
    pub cgroup: u64,
    /// The slot of that cgroup, with the thread and the time of the lookup. See `probes/scheduler.rs`.
    pub slot: u64,
    /// Padding to the size of a cache line.
    pub unused: [u64; 3],
}

/// Number of entries in the direct-mapped array, which takes 1 MiB. A power of two.
pub const WAIT_ENTRIES: u32 = 16_384;

// SAFETY: `repr(C)`, u64 members only, any bit pattern is valid; eight u64 fill the 64-byte line.
#[cfg(feature = "user")]
unsafe impl aya::Pod for WaitEntry {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counters as _, PerSlot as _};

    #[test]
    fn the_counters_of_a_container_are_the_sum_over_cpus() {
        let mut sum = SchedulerCounters { oncpu_ns: 5, ..SchedulerCounters::EMPTY };
        sum.waits.sum_ns = 7;
        sum.waits.buckets[3] = 2;
        let mut other = SchedulerCounters { oncpu_ns: 10, voluntary_switches: 1, ..SchedulerCounters::EMPTY };
        other.waits.buckets[3] = 1;
        other.involuntary_switches = 4;
        sum.add(&other);
        assert_eq!((sum.oncpu_ns, sum.waits.sum_ns), (15, 7));
        assert_eq!((sum.voluntary_switches, sum.involuntary_switches), (1, 4));
        assert_eq!((sum.waits.buckets[3], sum.waits.count()), (3, 3));
    }
}
