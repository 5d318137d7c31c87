//! Kills because memory ran out.

use crate::exposition::{Base, Family, Kind::Counter, Samples::Container};

/// The families.
pub const FAMILIES: &[Family] = &[Family {
    name: "container_oom_events_total",
    kind: Counter,
    help: "Processes of the container that the kernel killed because memory ran out, in this life of the container \
           and, while the agent runs, in earlier ones.",
    source: "kernel program on the tracepoint mark_victim, joined with v2 memory.events oom_kill; v1 \
             memory.oom_control oom_kill",
    base: Base::CAdvisor,
    labels: &[],
    samples: Container(|row, emit| emit.count(row.oom.total())),
}];
