//! The host: its CPUs and its memory.

use crate::exposition::{Base, Family, Kind::Gauge, Samples::Machine};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "machine_cpu_cores",
        help: "Logical CPUs that are online.",
        source: "/sys/devices/system/cpu/online",
        samples: Machine(|machine, emit| emit.count(machine.logical_cpus)),
        ..MACHINE
    },
    Family {
        name: "machine_cpu_physical_cores",
        help: "Cores that are online, each with one or more logical CPUs.",
        source: "/sys/devices/system/cpu/cpu*/topology",
        samples: Machine(|machine, emit| emit.count(machine.cores)),
        ..MACHINE
    },
    Family {
        name: "machine_cpu_sockets",
        help: "Processor packages with CPUs that are online.",
        source: "/sys/devices/system/cpu/cpu*/topology",
        samples: Machine(|machine, emit| emit.count(machine.sockets)),
        ..MACHINE
    },
    Family {
        name: "machine_memory_bytes",
        help: "Memory that the kernel has for all, in bytes.",
        source: "/proc/meminfo MemTotal",
        samples: Machine(|machine, emit| emit.count(machine.memory_bytes)),
        ..MACHINE
    },
    Family {
        name: "machine_swap_bytes",
        help: "Swap space, in bytes.",
        source: "/proc/meminfo SwapTotal",
        samples: Machine(|machine, emit| emit.count(machine.swap_bytes)),
        ..MACHINE
    },
    Family {
        name: "glassbox_machine_info",
        help: "Always 1; its labels are the release of the kernel and the name of the operating system.",
        source: "/proc/sys/kernel/osrelease, /etc/os-release",
        labels: &["kernel", "os"],
        samples: Machine(|machine, emit| emit.with(&[&machine.kernel, &machine.os]).count(1)),
        ..MACHINE
    },
];

/// What the families here have in common.
const MACHINE: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "",
    base: Base::Machine,
    labels: &[],
    samples: Machine(|_, _| {}),
};
