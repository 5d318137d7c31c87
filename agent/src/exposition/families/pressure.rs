//! Pressure: time lost for want of a CPU, memory or I/O.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_pressure_cpu_waiting_seconds_total")
        .help("Time for which at least one task waited for a CPU, in seconds.")
        .source("v2 tree, also beside v1: cpu.pressure some total")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.cpu.waiting_us)),
    Family::counter("container_pressure_cpu_stalled_seconds_total")
        .help("Time for which all tasks that could have run waited for a CPU, in seconds.")
        .source("v2 tree, also beside v1: cpu.pressure full total (Linux 5.13)")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.cpu.stalled_us)),
    Family::counter("container_pressure_memory_waiting_seconds_total")
        .help("Time for which at least one task waited for memory, in seconds.")
        .source("v2 tree, also beside v1: memory.pressure some total")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.memory.waiting_us)),
    Family::counter("container_pressure_memory_stalled_seconds_total")
        .help("Time for which all tasks waited for memory at once, in seconds.")
        .source("v2 tree, also beside v1: memory.pressure full total")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.memory.stalled_us)),
    Family::counter("container_pressure_io_waiting_seconds_total")
        .help("Time for which at least one task waited for a block device, in seconds.")
        .source("v2 tree, also beside v1: io.pressure some total")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.io.waiting_us)),
    Family::counter("container_pressure_io_stalled_seconds_total")
        .help("Time for which all tasks waited for a block device at once, in seconds.")
        .source("v2 tree, also beside v1: io.pressure full total")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.io.stalled_us)),
];
