//! The files of cgroups v1. What has `total_` in its name includes nested cgroups, as every file of v2 does.

use super::source::{Source, limit, number, pairs};

/// CPU time. User and system time are sampled by the timer tick, so their sum is not exactly the usage.
pub(super) const CPUACCT: &[Source] = &[
    Source {
        file: "cpuacct.usage",
        limit: false,
        parse: |text, usage| usage.cpu.usage_ns = number(text).or(usage.cpu.usage_ns),
    },
    Source {
        file: "cpuacct.usage_user",
        limit: false,
        parse: |text, usage| usage.cpu.user_ns = number(text).or(usage.cpu.user_ns),
    },
    Source {
        file: "cpuacct.usage_sys",
        limit: false,
        parse: |text, usage| usage.cpu.system_ns = number(text).or(usage.cpu.system_ns),
    },
];

/// Quota and throttling.
pub(super) const CPU: &[Source] = &[
    Source {
        file: "cpu.stat",
        limit: false,
        parse: |text, usage| {
            for (key, value) in pairs(text) {
                match key {
                    "nr_periods" => usage.cpu.periods = Some(value),
                    "nr_throttled" => usage.cpu.throttled_periods = Some(value),
                    "throttled_time" => usage.cpu.throttled_ns = Some(value),
                    _ => {}
                }
            }
        },
    },
    Source {
        file: "cpu.cfs_period_us",
        limit: true,
        parse: |text, usage| usage.limits.cpu_period_us = number(text),
    },
    // -1 where there is none.
    Source {
        file: "cpu.cfs_quota_us",
        limit: true,
        parse: |text, usage| usage.limits.cpu_quota_us = number(text),
    },
    Source { file: "cpu.shares", limit: true, parse: |text, usage| usage.limits.cpu_shares = number(text) },
];

/// Memory.
pub(super) const MEMORY: &[Source] = &[
    Source {
        file: "memory.usage_in_bytes",
        limit: false,
        parse: |text, usage| usage.memory.usage_bytes = number(text).or(usage.memory.usage_bytes),
    },
    Source {
        file: "memory.stat",
        limit: false,
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
        limit: false,
        parse: |text, usage| usage.memory.max_usage_bytes = number(text).or(usage.memory.max_usage_bytes),
    },
    Source {
        file: "memory.failcnt",
        limit: false,
        parse: |text, usage| usage.memory.failcnt = number(text).or(usage.memory.failcnt),
    },
    Source {
        file: "memory.kmem.usage_in_bytes",
        limit: false,
        parse: |text, usage| usage.memory.kernel_bytes = number(text).or(usage.memory.kernel_bytes),
    },
    Source {
        file: "memory.limit_in_bytes",
        limit: true,
        parse: |text, usage| usage.limits.memory_limit_bytes = limit(text),
    },
    Source {
        file: "memory.soft_limit_in_bytes",
        limit: true,
        parse: |text, usage| usage.limits.memory_reservation_bytes = limit(text),
    },
    Source {
        file: "memory.memsw.limit_in_bytes",
        limit: true,
        parse: |text, usage| usage.limits.memory_swap_limit_bytes = limit(text),
    },
];
