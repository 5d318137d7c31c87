//! OOM kills.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[Family::counter("container_oom_events_total")
    .help(
        "Processes of the container killed by the kernel's OOM killer, in the current run and, since \
             the agent started, in earlier runs.",
    )
    .source(
        "kernel programs on the tracepoints signal_generate and mark_victim, combined with v2 memory.events oom_kill; v1 \
             memory.oom_control oom_kill",
    )
    .cadvisor(|row, emit| emit.count(row.oom.total()))];
