//! Processes and threads.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_processes")
        .help("Processes in the container's own cgroup. Absent where they are all in nested ones.")
        .source("cgroup.procs, at every tenth tick")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.processes)),
    Family::gauge("container_threads")
        .help("Threads in the container, those of nested cgroups included.")
        .source("pids.current")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.threads)),
    Family::gauge("container_threads_max")
        .help("The most threads that the container may have; 0 is unlimited.")
        .source("pids.max")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.threads_max)),
];
