//! What the scheduler programs count, per container slot and CPU.

use crate::{counters::counters, histogram::Histogram};

counters! {
    /// One container's scheduling, on one CPU or summed over CPUs, since its slot was cleared.
    pub struct SchedulerCounters {
        /// Time on CPU, in ns, counted when a task leaves the CPU.
        pub oncpu_ns: u64,
        /// Switches because the task went to sleep.
        pub voluntary_switches: u64,
        /// Switches while the task could have gone on.
        pub involuntary_switches: u64,
        /// Waits from being queued to running.
        pub waits: Histogram,
    }
}

/// What is remembered of a task between two switches. One cache line, because two CPUs that write to one line
/// cost more than the whole program: 140 ns a switch instead of 40 where the entries straddled lines.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct WaitEntry {
    /// The thread the entry belongs to; 0 is nobody.
    pub pid: u64,
    /// Main method: `sched_info.run_delay` in ns at the last switch-out. Fallback method: when it was queued, ns.
    pub at_ns: u64,
    /// Fallback method: when it got the CPU, ns.
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

// SAFETY: `repr(C)`, u64 members only, any bit pattern is valid; eight u64 fill the 64-byte line.
#[cfg(feature = "user")]
unsafe impl aya::Pod for WaitEntry {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counters as _, PerSlot as _};

    #[test]
    fn a_container_is_the_sum_of_its_cpus() {
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
