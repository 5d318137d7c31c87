//! Processes and threads.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_processes")
        .help("Processes in the container's own cgroup. Absent if all processes are in nested cgroups.")
        .source("cgroup.procs, every tenth tick")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.processes)),
    Family::gauge("container_threads")
        .help("Threads in the container, including nested cgroups.")
        .source("pids.current")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.threads)),
    Family::gauge("container_threads_max")
        .help("Maximum number of threads in the container; 0 means unlimited.")
        .source("pids.max")
        .cadvisor(|row, emit| emit.count(row.cgroup.processes.threads_max)),
];
