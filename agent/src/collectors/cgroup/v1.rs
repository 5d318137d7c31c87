//! The files of cgroups v1. Keys with `total_` include nested cgroups, as every v2 file does.

use super::{
    block, lists,
    source::{
        Source,
        When::{EachTick, Rarely, Worked, WorkedOrThird},
    },
    text::{limit, number, pairs},
};

/// CPU time. User and system time are sampled at the timer tick, so their sum differs slightly from the usage.
pub(super) const CPUACCT: &[Source] = &[
    Source {
        file: "cpuacct.usage",
        when: EachTick,
        parse: |text, usage| usage.cpu.usage_ns = number(text).or(usage.cpu.usage_ns),
    },
    Source {
        file: "cpuacct.usage_user",
        when: Worked,
        parse: |text, usage| usage.cpu.user_ns = number(text).or(usage.cpu.user_ns),
    },
    Source {
        file: "cpuacct.usage_sys",
        when: Worked,
        parse: |text, usage| usage.cpu.system_ns = number(text).or(usage.cpu.system_ns),
    },
];

/// Quota and throttling.
pub(super) const CPU: &[Source] = &[
    Source {
        file: "cpu.stat",
        when: EachTick,
        parse: |text, usage| {
            for (key, value) in pairs(text) {
                match key {
                    "nr_periods" => usage.cpu.periods = Some(value),
                    "nr_throttled" => usage.cpu.throttled_periods = Some(value),
                    "throttled_time" => usage.cpu.throttled_ns = Some(value),
                    // From 5.15 on.
                    "nr_bursts" => usage.cpu.burst_periods = Some(value),
                    "burst_time" => usage.cpu.burst_ns = Some(value),
                    _ => {}
                }
            }
        },
    },
    Source {
        file: "cpu.cfs_period_us",
        when: Rarely,
        parse: |text, usage| usage.limits.cpu_period_us = number(text),
    },
    // -1 without a quota.
    Source {
        file: "cpu.cfs_quota_us",
        when: Rarely,
        parse: |text, usage| usage.limits.cpu_quota_us = number(text),
    },
    Source { file: "cpu.shares", when: Rarely, parse: |text, usage| usage.limits.cpu_shares = number(text) },
];

/// Memory.
pub(super) const MEMORY: &[Source] = &[
    Source {
        file: "memory.usage_in_bytes",
        when: EachTick,
        parse: |text, usage| usage.memory.usage_bytes = number(text).or(usage.memory.usage_bytes),
    },
    Source {
        file: "memory.stat",
        when: EachTick,
        parse: |text, usage| {
            let memory = &mut usage.memory;
            for (key, value) in pairs(text) {
                match key {
                    "total_rss" => memory.rss_bytes = Some(value),
                    "total_cache" => memory.cache_bytes = Some(value),
                    "total_mapped_file" => memory.mapped_file_bytes = Some(value),
                    "total_swap" => memory.swap_bytes = Some(value),
                    "total_active_file" => memory.active_file_bytes = Some(value),
                    "total_inactive_file" => memory.inactive_file_bytes = Some(value),
                    "total_dirty" => memory.file_dirty_bytes = Some(value),
                    "total_writeback" => memory.file_writeback_bytes = Some(value),
                    // From 5.10 on.
                    "total_workingset_refault_file" => memory.file_refaults = Some(value),
                    "total_workingset_refault_anon" => memory.anonymous_refaults = Some(value),
                    "pgfault" => memory.page_faults = Some(value),
                    "total_pgfault" => memory.hierarchy_page_faults = Some(value),
                    "pgmajfault" => memory.major_page_faults = Some(value),
                    "total_pgmajfault" => memory.hierarchy_major_page_faults = Some(value),
                    _ => {}
                }
            }
        },
    },
    Source {
        file: "memory.max_usage_in_bytes",
        when: WorkedOrThird,
        parse: |text, usage| usage.memory.max_usage_bytes = number(text).or(usage.memory.max_usage_bytes),
    },
    Source {
        file: "memory.failcnt",
        when: WorkedOrThird,
        parse: |text, usage| usage.memory.failcnt = number(text).or(usage.memory.failcnt),
    },
    Source {
        file: "memory.kmem.usage_in_bytes",
        when: WorkedOrThird,
        parse: |text, usage| usage.memory.kernel_bytes = number(text).or(usage.memory.kernel_bytes),
    },
    Source {
        file: "memory.limit_in_bytes",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_limit_bytes = limit(text),
    },
    Source {
        file: "memory.soft_limit_in_bytes",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_reservation_bytes = limit(text),
    },
    Source {
        file: "memory.memsw.limit_in_bytes",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_swap_limit_bytes = limit(text),
    },
];

/// Block I/O. From 6.10 on, the kernel counts here only for devices that some cgroup throttles.
pub(super) const BLKIO: &[Source] = &[
    Source {
        file: "blkio.throttle.io_service_bytes_recursive",
        when: WorkedOrThird,
        parse: |text, usage| {
            block::operations(text, &mut usage.devices, |device| {
                (&mut device.read_bytes, &mut device.written_bytes)
            });
        },
    },
    Source {
        file: "blkio.throttle.io_serviced_recursive",
        when: WorkedOrThird,
        parse: |text, usage| {
            block::operations(text, &mut usage.devices, |device| (&mut device.reads, &mut device.writes));
        },
    },
];

/// NUMA nodes, in pages.
pub(super) const NUMA: &[Source] = &[Source {
    file: "memory.numa_stat",
    when: Rarely,
    parse: |text, usage| lists::numa_v1(text, &mut usage.numa_pages),
}];
