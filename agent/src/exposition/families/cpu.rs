//! CPU time and throttling.

use crate::{exposition::family::Family, snapshot::ContainerRow};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_cpu_usage_seconds_total")
        .help("CPU time consumed, in seconds. One series per container: label cpu is always total.")
        .source(
            "v2 cpu.stat usage_usec; v1 cpuacct.usage. For a container that ended or was too short-lived to \
             be read: on-CPU time of the scheduler program, if that is greater",
        )
        .labels(&["cpu"])
        .cadvisor(|row, emit| emit.with(&["total"]).nanoseconds(row.cgroup.cpu.usage_ns)),
    Family::counter("container_cpu_user_seconds_total")
        .help("CPU time consumed in user mode, in seconds.")
        .source("v2 cpu.stat user_usec; v1 cpuacct.usage_user")
        .cadvisor(|row, emit| emit.nanoseconds(row.cgroup.cpu.user_ns)),
    Family::counter("container_cpu_system_seconds_total")
        .help("CPU time consumed in kernel mode, in seconds.")
        .source("v2 cpu.stat system_usec; v1 cpuacct.usage_sys")
        .cadvisor(|row, emit| emit.nanoseconds(row.cgroup.cpu.system_ns)),
    Family::counter("container_cpu_cfs_periods_total")
        .help("CPU quota periods in which the container was runnable. Absent without a CPU quota.")
        .source("cpu.stat nr_periods")
        .cadvisor(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.periods))),
    Family::counter("container_cpu_cfs_throttled_periods_total")
        .help("CPU quota periods in which the container was throttled. Absent without a CPU quota.")
        .source("cpu.stat nr_throttled")
        .cadvisor(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.throttled_periods))),
    Family::counter("container_cpu_cfs_throttled_seconds_total")
        .help("Time the container was throttled by its CPU quota, in seconds. Absent without a CPU quota.")
        .source("v2 cpu.stat throttled_usec; v1 cpu.stat throttled_time")
        .cadvisor(|row, emit| emit.nanoseconds(with_quota(row, row.cgroup.cpu.throttled_ns))),
    Family::counter("container_cpu_cfs_burst_periods_total")
        .help(
            "CPU quota periods in which the container used accumulated burst time. Absent without a CPU \
             quota.",
        )
        .source("cpu.stat nr_bursts (Linux 5.15)")
        .cadvisor(|row, emit| emit.count(with_quota(row, row.cgroup.cpu.burst_periods))),
    Family::counter("container_cpu_cfs_burst_seconds_total")
        .help(
            "CPU time consumed beyond the quota from accumulated burst time, in seconds. Absent without a \
             CPU quota.",
        )
        .source("v2 cpu.stat burst_usec; v1 cpu.stat burst_time (Linux 5.15)")
        .cadvisor(|row, emit| emit.nanoseconds(with_quota(row, row.cgroup.cpu.burst_ns))),
];

/// The kernel reports zeros for containers without a quota, which cannot be throttled.
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
