//! What a container may use.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_spec_cpu_period")
        .help("The period of the CPU quota, in microseconds.")
        .source("v2 cpu.max; v1 cpu.cfs_period_us")
        .unit("microseconds")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_period_us)),
    Family::gauge("container_spec_cpu_quota")
        .help("The CPU time allowed per period, in microseconds. Absent without a quota.")
        .source("v2 cpu.max; v1 cpu.cfs_quota_us")
        .unit("microseconds")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_quota_us)),
    Family::gauge("container_spec_cpu_shares")
        .help("The container's weight when CPUs are short, in the scale of cgroup v1: 1024 is usual.")
        .source("v2 cpu.weight, converted; v1 cpu.shares")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.cpu_shares)),
    Family::gauge("container_spec_memory_limit_bytes")
        .help("The memory limit, in bytes; 0 is unlimited.")
        .source("v2 memory.max; v1 memory.limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_limit_bytes)),
    Family::gauge("container_spec_memory_reservation_limit_bytes")
        .help("The memory that reclaim leaves the container, in bytes; 0 is none.")
        .source("v2 the greater of memory.min and memory.low; v1 memory.soft_limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_reservation_bytes)),
    Family::gauge("container_spec_memory_swap_limit_bytes")
        .help("The swap limit, on cgroup v1 that of memory and swap together, in bytes; 0 is unlimited.")
        .source("v2 memory.swap.max; v1 memory.memsw.limit_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.limits.memory_swap_limit_bytes)),
];
