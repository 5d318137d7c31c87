//! The ways in which the agent and its kernel programs can lose data: one row per source, for the metrics, the log and
//! docs/metrics.md. A test compares the rows with the sources that the agent counts.

/// The severity of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Values are too low, or containers or events are missing, until the cause is removed.
    Loss,
    /// The agent recovers by itself; some values may be missing or late for a moment.
    Passing,
    /// Some measurements are less precise. Normal on a busy host; not an error.
    Imprecision,
}

impl Severity {
    /// The name in the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Passing => "passing loss",
            Self::Imprecision => "imprecision",
        }
    }
}

/// One source.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The value of the label `source`.
    pub name: &'static str,
    /// The severity.
    pub severity: Severity,
    /// What one event means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// All sources.
pub const SOURCES: &[Source] = &[
    Source {
        name: "cgroup_slots",
        severity: Severity::Loss,
        meaning: "A container started without kernel counters: all slots were in use, or the containers inside one \
                  container used half of them. It has no scheduler, driver or socket metrics until a slot is \
                  free.",
        remedy: "Raise `containers.max`. The container gets a slot as soon as one is free.",
    },
    Source {
        name: "cgroup_table",
        severity: Severity::Loss,
        meaning: "A cgroup nested in a container was not added to the cgroup table: the container has more than its \
                  share of nested cgroups, or the hash bucket was full. Processes in that cgroup are missing from the \
                  kernel counters of the container; cgroup metrics are complete.",
        remedy: "Raise `containers.max`; the table grows with it.",
    },
    Source {
        name: "cgroup_events",
        severity: Severity::Passing,
        meaning: "A container start or exit event was dropped because the ring buffer was full. The next walk through \
                  the cgroup tree, at most one tick later, finds the changes; a container that started and ended in \
                  between is missed.",
        remedy: "None if rare. Otherwise find the program that creates and removes hundreds of cgroups per second.",
    },
    Source {
        name: "cgroup_walk",
        severity: Severity::Loss,
        meaning: "A walk through the cgroup tree stopped at 65,536 cgroups or 64 levels. Containers beyond this limit \
                  are only discovered by their start events.",
        remedy: "Find the program that creates so many cgroups, and remove them.",
    },
    Source {
        name: "ended_containers",
        severity: Severity::Loss,
        meaning: "An ended container was dropped before its final counters were scraped, because more than \
                  4 × `containers.max` ended containers were kept.",
        remedy: "Raise `containers.max`, or scrape more often.",
    },
    Source {
        name: "scheduler_unqueued",
        severity: Severity::Imprecision,
        meaning: "A task got a CPU, but the kernel had not recorded when it was queued, for example after a migration \
                  by another scheduling class. The wait is not in the histogram.",
        remedy: "None needed.",
    },
    Source {
        name: "scheduler_waits",
        severity: Severity::Imprecision,
        meaning: "A task waited on two CPUs, and only the wait on the second one was counted, because another task \
                  had taken over the entry of the direct-mapped array that held the first part.",
        remedy: "None needed.",
    },
    Source {
        name: "nvidia_calls",
        severity: Severity::Loss,
        meaning: "A call to the NVIDIA driver was lost between its start and its end: another thread took over its \
                  entry of the direct-mapped array, or its end was not traced. The call is missing from the ioctl \
                  counters.",
        remedy: "Give the agent write access to tracefs, so that it can raise the limit on concurrent kretprobes.",
    },
    Source {
        name: "nvidia_commands",
        severity: Severity::Loss,
        meaning: "The map of driver commands or failures was full, so a new combination of container, device and \
                  command was not counted.",
        remedy: "Restart the agent to clear the map; report a bug if it happens again.",
    },
    Source {
        name: "nvidia_polls",
        severity: Severity::Passing,
        meaning: "A wait in poll(2) for the NVIDIA driver may not have been counted, because another thread took over \
                  its entry of the direct-mapped array.",
        remedy: "None if rare.",
    },
    Source {
        name: "nvidia_xids",
        severity: Severity::Loss,
        meaning: "The map of Xid errors was full (512 combinations of GPU and Xid), so a new combination was not \
                  counted.",
        remedy: "Restart the agent after the GPUs are repaired; the kernel log contains every Xid error.",
    },
    Source {
        name: "nvidia_attach",
        severity: Severity::Loss,
        meaning: "A module of the NVIDIA driver was in use before its calls were traced. Some of the first calls are \
                  missing from the ioctl counters, or counted without command and status if the driver's release was \
                  not known yet. Counted once per module and load; the log contains the length of the window.",
        remedy: "Give the agent write access to tracefs, and start it after the driver is loaded.",
    },
    Source {
        name: "socket_listeners",
        severity: Severity::Loss,
        meaning: "A listening port of a container was not recorded: the container listens on more than 64 ports, or all \
                  containers together on more than 4,096.",
        remedy: "None needed, unless the requests of this port are to be counted.",
    },
    Source {
        name: "request_ports",
        severity: Severity::Loss,
        meaning: "A container listens on more than 16 ports, and requests to the further ones are not counted.",
        remedy: "List the ports of all containers that matter in `requests.ports`.",
    },
    Source {
        name: "request_pieces",
        severity: Severity::Loss,
        meaning: "A piece of a message about a Gradio job was dropped: the ring buffer was full, or the container sent more \
                  than 1024 within a second. The job may be counted as abandoned, or its times may be missing.",
        remedy: "None if rare: the agent got no CPU for a moment, or a client sends a flood of requests.",
    },
    Source {
        name: "slow_requests",
        severity: Severity::Imprecision,
        meaning: "A slow request was not written to the log: more than 10 were slow within a second, or more than 16 of one \
                  container. The metrics contain it. Only with `requests.slow_after_ms`.",
        remedy: "Raise `requests.slow_after_ms` if such requests are normal.",
    },
    Source {
        name: "request_uploads",
        severity: Severity::Loss,
        meaning: "An upload was not examined: the container received more than 16 within a second, or the ring buffer was \
                  full. Only with `requests.upload_images`.",
        remedy: "None if rare.",
    },
    Source {
        name: "program_runs",
        severity: Severity::Loss,
        meaning: "A process that executed a program of `programs.names` was not counted: 256 such processes ran in its \
                  container, or 2048 in all containers.",
        remedy: "Find out why so many run at the same time, or remove the program from `programs.names`.",
    },
    Source {
        name: "gradio_jobs",
        severity: Severity::Loss,
        meaning: "An unfinished Gradio job was dropped because its container had 4096, or its share of 16384 in all \
                  containers. Its end is not counted.",
        remedy: "Find out why the container's jobs do not end, or who sends it so many requests.",
    },
    Source {
        name: "threads",
        severity: Severity::Imprecision,
        meaning: "Some threads of a container with requests in flight were not read: it has more than 256 threads or 64 \
                  processes, or reading threads took 3 ms in this tick. The previous reading is used until the next.",
        remedy: "None needed.",
    },
    Source {
        name: "disk_walks",
        severity: Severity::Loss,
        meaning: "The walk through a writable layer was aborted: too many files, or directories nested too deeply. The \
                  size of the layer is missing. Only with `disk.walk`.",
        remedy: "Use project quotas for the layers; reading a quota needs no walk.",
    },
];

/// The row of a source; `None` for a source without one.
#[must_use]
pub fn source(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.name == name)
}

/// True if the source is an imprecision, not a loss.
#[must_use]
pub fn is_imprecision(name: &str) -> bool {
    source(name).is_some_and(|source| source.severity == Severity::Imprecision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_kernel_programs_has_a_row_and_no_source_has_two() {
        for lost in glassbox_ebpf::Lost::ALL {
            assert!(source(lost.source()).is_some(), "{}", lost.source());
        }
        for (index, row) in SOURCES.iter().enumerate() {
            assert!(SOURCES[index + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(!row.meaning.is_empty() && !row.remedy.is_empty(), "{}", row.name);
        }
    }
}
