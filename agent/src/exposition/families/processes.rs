//! Processes and threads.

use crate::exposition::{Base, Family, Kind::Gauge, Samples::Container};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_processes",
        help: "Processes in the container's own cgroup. Absent where they are all in nested ones.",
        source: "cgroup.procs, at every tenth tick",
        samples: Container(|row, emit| emit.count(row.cgroup.processes.processes)),
        ..PROCESSES
    },
    Family {
        name: "container_threads",
        help: "Threads in the container, those of nested cgroups included.",
        source: "pids.current",
        samples: Container(|row, emit| emit.count(row.cgroup.processes.threads)),
        ..PROCESSES
    },
    Family {
        name: "container_threads_max",
        help: "The most threads that the container may have; 0 is unlimited.",
        source: "pids.max",
        samples: Container(|row, emit| emit.count(row.cgroup.processes.threads_max)),
        ..PROCESSES
    },
];

/// What the families here have in common.
const PROCESSES: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "",
    base: Base::CAdvisor,
    labels: &[],
    samples: Container(|_, _| {}),
};
