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
        samples: Container(|row, emit| emit.with(&["total"]).nanoseconds(row.cgroup.cpu.usage_ns)),
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::snapshot::identity::Identity;

    fn row() -> ContainerRow {
        let identity = Identity {
            id: "1".into(),
            cgroup_path: "/1".into(),
            container: "1".into(),
            ..Identity::default()
        };
        ContainerRow::new(Arc::new(identity), SystemTime::now())
    }

    #[test]
    fn throttling_is_shown_only_with_a_quota() {
        let mut row = row();
        assert_eq!(with_quota(&row, Some(0)), None);
        row.cgroup.limits.cpu_quota_us = Some(50_000);
        assert_eq!(with_quota(&row, Some(0)), Some(0));
    }
}
