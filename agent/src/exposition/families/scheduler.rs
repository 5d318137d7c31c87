//! Waiting for a CPU, having it, and losing it.

use crate::exposition::{family::Family, sample::Resolution};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::histogram("glassbox_container_runqueue_latency_seconds")
        .help("How long the container's tasks were ready to run before they got a CPU, in seconds.")
        .source("scheduler program, at each switch to one of its tasks; buckets are powers of two, exact")
        .container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.histogram(&usage.waits, Resolution::Fine);
            }
        }),
    Family::counter("glassbox_container_oncpu_seconds_total")
        .help(
            "Time on CPU, in seconds, counted when a task leaves the CPU. On a virtual machine it \
               includes the time that the hypervisor took away meanwhile.",
        )
        .source("scheduler program, at each switch from one of its tasks")
        .container(|row, emit| emit.nanoseconds(row.scheduler.as_ref().map(|usage| usage.oncpu_ns))),
    Family::counter("glassbox_container_context_switches_total")
        .help(
            "Switches away from the container's tasks: voluntary when a task went to sleep, involuntary \
               when it could have gone on.",
        )
        .source("scheduler program, at each switch from one of its tasks")
        .labels(&["kind"])
        .container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.with(&["voluntary"]).count(usage.voluntary_switches);
                emit.with(&["involuntary"]).count(usage.involuntary_switches);
            }
        }),
];
