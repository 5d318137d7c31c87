//! CPU time and throttling.

use super::{Base, Family, Kind::Counter, Samples::Container};
use crate::snapshot::ContainerRow;

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_cpu_usage_seconds_total",
        kind: Counter,
        help: "CPU time used, in seconds of one core. One series per container: cpu is always total.",
        source: "v2 cpu.stat usage_usec; v1 cpuacct.usage. For a container that ended, or that lived too \
                 short to be read, the on-CPU time of the scheduler program where that is more",
        base: Base::CAdvisor,
        labels: &["cpu"],
        samples: Container(|row, emit| emit.with(&["total"]).nanoseconds(usage_ns(row))),
    },
    Family {
        name: "container_cpu_user_seconds_total",
        kind: Counter,
        help: "CPU time in user mode, in seconds.",
        source: "v2 cpu.stat user_usec; v1 cpuacct.usage_user",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.nanoseconds(row.cgroup.cpu.user_ns)),
    },
    Family {
        name: "container_cpu_system_seconds_total",
        kind: Counter,
        help: "CPU time in the kernel, in seconds.",
        source: "v2 cpu.stat system_usec; v1 cpuacct.usage_sys",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.nanoseconds(row.cgroup.cpu.system_ns)),
    },
    Family {
        name: "container_cpu_cfs_periods_total",
        kind: Counter,
        help: "Quota periods in which the container was runnable. Only with a CPU quota.",
        source: "cpu.stat nr_periods",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.periods))),
    },
    Family {
        name: "container_cpu_cfs_throttled_periods_total",
        kind: Counter,
        help: "Quota periods in which the container used up its quota and had to stop. Only with a CPU \
               quota.",
        source: "cpu.stat nr_throttled",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.throttled_periods))),
    },
    Family {
        name: "container_cpu_cfs_throttled_seconds_total",
        kind: Counter,
        help: "Time for which the container was stopped by its quota, in seconds. Only with a CPU quota.",
        source: "v2 cpu.stat throttled_usec; v1 cpu.stat throttled_time",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.nanoseconds(with_quota(row, row.cgroup.cpu.throttled_ns))),
    },
    Family {
        name: "container_cpu_cfs_burst_periods_total",
        kind: Counter,
        help: "Quota periods in which the container used quota that it had saved up. Only with a CPU quota.",
        source: "cpu.stat nr_bursts (Linux 5.15)",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.burst_periods))),
    },
    Family {
        name: "container_cpu_cfs_burst_seconds_total",
        kind: Counter,
        help: "CPU time beyond the quota, out of what was saved up, in seconds. Only with a CPU quota.",
        source: "v2 cpu.stat burst_usec; v1 cpu.stat burst_time (Linux 5.15)",
        base: Base::CAdvisor,
        labels: &[],
        samples: Container(|row, emit| emit.nanoseconds(with_quota(row, row.cgroup.cpu.burst_ns))),
    },
];

/// Only what has a quota can be throttled; the kernel gives zeros for the rest.
fn with_quota(row: &ContainerRow, count: Option<u64>) -> Option<u64> {
    row.cgroup.limits.cpu_quota_us.and(count)
}

/// The cgroup's own count, but for what ended: between its last reading and its end it may have used more,
/// which only the kernel program has seen.
fn usage_ns(row: &ContainerRow) -> Option<u64> {
    let read_ns = row.cgroup.cpu.usage_ns;
    if row.ended_at.is_none() && read_ns.is_some() {
        return read_ns;
    }
    read_ns.max(row.scheduler.as_ref().map(|usage| usage.oncpu_ns))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::{
        containers::{Identity, Runtime},
        snapshot::scheduler::{Histogram, SchedulerUsage},
    };

    fn row(ended: bool, read_ns: Option<u64>, oncpu_ns: Option<u64>) -> ContainerRow {
        let now = SystemTime::now();
        let identity = Identity {
            id: "1".into(),
            cgroup_path: "/1".into(),
            runtime: Runtime::Unknown,
            name: String::new(),
            image: String::new(),
            container: "1".into(),
            namespace: None,
            pod: None,
            labels: Default::default(),
            started_at: None,
        };
        let mut row = ContainerRow::new(Arc::new(identity), now);
        row.ended_at = ended.then_some(now);
        row.cgroup.cpu.usage_ns = read_ns;
        row.scheduler = oncpu_ns.map(|oncpu_ns| {
            let waits = Histogram { sum_ns: 0, slots: [0; glassbox_ebpf::histogram::SLOTS] };
            Box::new(SchedulerUsage { oncpu_ns, voluntary_switches: 0, involuntary_switches: 0, waits })
        });
        row
    }

    #[test]
    fn a_living_container_shows_what_its_cgroup_says() {
        assert_eq!(usage_ns(&row(false, Some(5), Some(7))), Some(5));
        assert_eq!(usage_ns(&row(false, Some(5), None)), Some(5));
    }

    #[test]
    fn a_container_too_short_to_be_read_shows_its_time_on_cpu() {
        assert_eq!(usage_ns(&row(false, None, Some(7))), Some(7));
        assert_eq!(usage_ns(&row(true, None, Some(7))), Some(7));
        assert_eq!(usage_ns(&row(true, None, None)), None);
    }

    #[test]
    fn throttling_is_shown_only_with_a_quota() {
        let mut row = row(false, None, None);
        assert_eq!(with_quota(&row, Some(0)), None);
        row.cgroup.limits.cpu_quota_us = Some(50_000);
        assert_eq!(with_quota(&row, Some(0)), Some(0));
    }

    #[test]
    fn an_ended_container_shows_the_greater_of_both() {
        assert_eq!(usage_ns(&row(true, Some(5), Some(7))), Some(7));
        assert_eq!(usage_ns(&row(true, Some(9), Some(7))), Some(9));
        assert_eq!(usage_ns(&row(true, Some(9), None)), Some(9));
    }
}
