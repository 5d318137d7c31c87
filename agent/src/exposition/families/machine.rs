//! The host: CPUs and memory.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("machine_cpu_cores")
        .help("Online logical CPUs.")
        .source("/sys/devices/system/cpu/online")
        .inherited()
        .machine(|machine, emit| emit.count(machine.logical_cpus)),
    Family::gauge("machine_cpu_physical_cores")
        .help("Physical cores that have online CPUs.")
        .source("/sys/devices/system/cpu/cpu*/topology")
        .inherited()
        .machine(|machine, emit| emit.count(machine.cores)),
    Family::gauge("machine_cpu_sockets")
        .help("CPU sockets that have online CPUs.")
        .source("/sys/devices/system/cpu/cpu*/topology")
        .inherited()
        .machine(|machine, emit| emit.count(machine.sockets)),
    Family::gauge("machine_memory_bytes")
        .help("Memory usable by the kernel, in bytes.")
        .source("/proc/meminfo MemTotal")
        .inherited()
        .machine(|machine, emit| emit.count(machine.memory_bytes)),
    Family::gauge("machine_swap_bytes")
        .help("Swap space, in bytes.")
        .source("/proc/meminfo SwapTotal")
        .inherited()
        .machine(|machine, emit| emit.count(machine.swap_bytes)),
    Family::gauge("glassbox_machine_info")
        .help("Always 1. Labels: kernel release and name of the operating system.")
        .source("/proc/sys/kernel/osrelease, /etc/os-release")
        .labels(&["kernel", "os"])
        .machine(|machine, emit| emit.with(&[&machine.kernel, &machine.os]).count(1)),
];
