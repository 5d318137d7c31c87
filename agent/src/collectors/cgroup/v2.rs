//! The files of cgroups v2.

use super::{
    block, lists,
    source::{
        Source,
        When::{EachTick, Rarely, WorkedOrThird},
    },
    text::{limit, number, pairs},
};

/// CPU time, in every v2 hierarchy, and throttling, if the hierarchy has the cpu controller.
pub(super) const CPUACCT: &[Source] = &[Source {
    file: "cpu.stat",
    when: EachTick,
    parse: |text, usage| {
        let nanoseconds = |microseconds: u64| Some(microseconds.saturating_mul(1000));
        let cpu = &mut usage.cpu;
        for (key, value) in pairs(text) {
            match key {
                "usage_usec" => cpu.usage_ns = nanoseconds(value),
                "user_usec" => cpu.user_ns = nanoseconds(value),
                "system_usec" => cpu.system_ns = nanoseconds(value),
                "nr_periods" => cpu.periods = Some(value),
                "nr_throttled" => cpu.throttled_periods = Some(value),
                "throttled_usec" => cpu.throttled_ns = nanoseconds(value),
                // From 5.15 on.
                "nr_bursts" => cpu.burst_periods = Some(value),
                "burst_usec" => cpu.burst_ns = nanoseconds(value),
                _ => {}
            }
        }
    },
}];

/// Quota and weight.
pub(super) const CPU: &[Source] = &[
    Source {
        file: "cpu.max",
        when: Rarely,
        parse: |text, usage| {
            let (quota, period) = text.trim_ascii().split_once(' ').unwrap_or((text, ""));
            // `max` without a quota.
            usage.limits.cpu_quota_us = number(quota);
            usage.limits.cpu_period_us = number(period);
        },
    },
    Source {
        file: "cpu.weight",
        when: Rarely,
        parse: |text, usage| usage.limits.cpu_shares = number(text).and_then(shares),
    },
];

/// Memory.
pub(super) const MEMORY: &[Source] = &[
    Source {
        file: "memory.current",
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
                    "anon" => memory.rss_bytes = Some(value),
                    "file" => memory.cache_bytes = Some(value),
                    "file_mapped" => memory.mapped_file_bytes = Some(value),
                    // From 5.18 on.
                    "kernel" => memory.kernel_bytes = Some(value),
                    "active_file" => memory.active_file_bytes = Some(value),
                    "inactive_file" => memory.inactive_file_bytes = Some(value),
                    "file_dirty" => memory.file_dirty_bytes = Some(value),
                    "file_writeback" => memory.file_writeback_bytes = Some(value),
                    "pgscan" => memory.scanned_pages = Some(value),
                    "pgsteal" => memory.stolen_pages = Some(value),
                    // From 5.9 on. Earlier kernels have one counter for both.
                    "workingset_refault_file" => memory.file_refaults = Some(value),
                    "workingset_refault_anon" => memory.anonymous_refaults = Some(value),
                    "pgfault" => {
                        (memory.page_faults, memory.hierarchy_page_faults) = (Some(value), Some(value));
                    }
                    "pgmajfault" => {
                        (memory.major_page_faults, memory.hierarchy_major_page_faults) =
                            (Some(value), Some(value));
                    }
                    _ => {}
                }
            }
        },
    },
    Source {
        file: "memory.swap.current",
        when: EachTick,
        parse: |text, usage| usage.memory.swap_bytes = number(text).or(usage.memory.swap_bytes),
    },
    Source {
        file: "memory.events",
        when: WorkedOrThird,
        parse: |text, usage| {
            for (key, value) in pairs(text) {
                match key {
                    "high" => usage.memory.high_events = Some(value),
                    "max" => usage.memory.max_events = Some(value),
                    _ => {}
                }
            }
        },
    },
    // From 5.19 on.
    Source {
        file: "memory.peak",
        when: WorkedOrThird,
        parse: |text, usage| usage.memory.max_usage_bytes = number(text).or(usage.memory.max_usage_bytes),
    },
    Source {
        file: "memory.max",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_limit_bytes = limit(text),
    },
    // Kubernetes sets `min`, Docker sets `low`; the greater of them is protected from reclaim.
    Source {
        file: "memory.min",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_reservation_bytes = limit(text),
    },
    Source {
        file: "memory.low",
        when: Rarely,
        parse: |text, usage| {
            usage.limits.memory_reservation_bytes = usage.limits.memory_reservation_bytes.max(limit(text));
        },
    },
    Source {
        file: "memory.swap.max",
        when: Rarely,
        parse: |text, usage| usage.limits.memory_swap_limit_bytes = limit(text),
    },
];

/// Block I/O.
pub(super) const IO: &[Source] = &[Source {
    file: "io.stat",
    when: WorkedOrThird,
    parse: |text, usage| block::io_stat(text, &mut usage.devices),
}];

/// Pressure, in every v2 hierarchy, also next to v1, if the kernel accounts for it (from 4.20 on, with `CONFIG_PSI` and
/// without `psi=0`). The line `full` of the CPU came with 5.13.
pub(super) const PRESSURE: &[Source] = &[
    Source {
        file: "cpu.pressure",
        when: WorkedOrThird,
        parse: |text, usage| lists::pressure(text, &mut usage.pressure.cpu),
    },
    Source {
        file: "memory.pressure",
        when: WorkedOrThird,
        parse: |text, usage| lists::pressure(text, &mut usage.pressure.memory),
    },
    Source {
        file: "io.pressure",
        when: WorkedOrThird,
        parse: |text, usage| lists::pressure(text, &mut usage.pressure.io),
    },
];

/// NUMA nodes, in bytes.
pub(super) const NUMA: &[Source] = &[Source {
    file: "memory.numa_stat",
    when: Rarely,
    parse: |text, usage| lists::numa_v2(text, &mut usage.numa_pages),
}];

/// The shares that runtimes turned into this weight, as cAdvisor calculates them: 2..=262144 maps linearly to
/// 1..=10000.
fn shares(weight: u64) -> Option<u64> {
    (1..=10_000).contains(&weight).then(|| 2 + (weight - 1) * 262_142 / 9_999)
}
