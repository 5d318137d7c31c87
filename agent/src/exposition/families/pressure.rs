//! Pressure stall information (PSI).

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_pressure_cpu_waiting_seconds_total")
        .help("Time at least one task waited for a CPU, in seconds.")
        .source("cpu.pressure some total, in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.cpu.waiting_us)),
    Family::counter("container_pressure_cpu_stalled_seconds_total")
        .help("Time all non-idle tasks waited for a CPU at the same time, in seconds.")
        .source("cpu.pressure full total (Linux 5.13), in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.cpu.stalled_us)),
    Family::counter("container_pressure_memory_waiting_seconds_total")
        .help("Time at least one task waited for memory, in seconds.")
        .source("memory.pressure some total, in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.memory.waiting_us)),
    Family::counter("container_pressure_memory_stalled_seconds_total")
        .help("Time all non-idle tasks waited for memory at the same time, in seconds.")
        .source("memory.pressure full total, in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.memory.stalled_us)),
    Family::counter("container_pressure_io_waiting_seconds_total")
        .help("Time at least one task waited for I/O, in seconds.")
        .source("io.pressure some total, in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.io.waiting_us)),
    Family::counter("container_pressure_io_stalled_seconds_total")
        .help("Time all non-idle tasks waited for I/O at the same time, in seconds.")
        .source("io.pressure full total, in the v2 hierarchy even on hosts with v1 controllers")
        .cadvisor(|row, emit| emit.microseconds(row.cgroup.pressure.io.stalled_us)),
];
