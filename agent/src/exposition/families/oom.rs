//! Kills because memory ran out.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[Family::counter("container_oom_events_total")
    .help(
        "Processes of the container that the kernel killed because memory ran out, in this life of \
               the container and, while the agent runs, in earlier ones.",
    )
    .source(
        "kernel program on the tracepoint mark_victim, joined with v2 memory.events oom_kill; v1 \
                 memory.oom_control oom_kill",
    )
    .cadvisor(|row, emit| emit.count(row.oom.total()))];
