//! Resource limits of containers.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_spec_cpu_period")
        .help("CPU quota period, in microseconds.")
        .source("v2 cpu.max; v1 cpu.cfs_period_us")
        .unit("microseconds")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_period_us)),
    Family::gauge("container_spec_cpu_quota")
        .help("CPU time allowed per quota period, in microseconds. Absent without a quota.")
        .source("v2 cpu.max; v1 cpu.cfs_quota_us")
        .unit("microseconds")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_quota_us)),
    Family::gauge("container_spec_cpu_shares")
        .help("CPU weight on the scale of cgroup v1. The default is 1024.")
        .source("v2 cpu.weight, converted; v1 cpu.shares")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_shares)),
    Family::gauge("container_spec_memory_limit_bytes")
        .help("Memory limit, in bytes; 0 means unlimited.")
        .source("v2 memory.max; v1 memory.limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_limit_bytes)),
    Family::gauge("container_spec_memory_reservation_limit_bytes")
        .help("Memory protected from reclaim, in bytes; 0 means none.")
        .source("v2: the greater of memory.min and memory.low; v1 memory.soft_limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_reservation_bytes)),
    Family::gauge("container_spec_memory_swap_limit_bytes")
        .help("Swap limit, on cgroup v1 the limit of memory plus swap, in bytes; 0 means unlimited.")
        .source("v2 memory.swap.max; v1 memory.memsw.limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_swap_limit_bytes)),
];
