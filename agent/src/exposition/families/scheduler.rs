//! Run-queue latency, on-CPU time and context switches.

use crate::exposition::{family::Family, sample::Resolution};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::histogram("glassbox_container_runqueue_latency_seconds")
        .help("Time the container's tasks spent runnable before getting a CPU, in seconds.")
        .source(
            "scheduler program, at each switch to a task of the container; buckets are exact powers of two",
        )
        .container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.histogram(&usage.waits, Resolution::Fine);
            }
        }),
    Family::counter("glassbox_container_oncpu_seconds_total")
        .help(
            "Time the container's tasks spent on a CPU, in seconds, counted when a task leaves the CPU. On \
             a virtual machine this includes time stolen by the hypervisor.",
        )
        .source("scheduler program, at each switch from a task of the container")
        .container(|row, emit| emit.nanoseconds(row.scheduler.as_ref().map(|usage| usage.oncpu_ns))),
    Family::counter("glassbox_container_context_switches_total")
        .help(
            "Context switches away from the container's tasks: voluntary if the task went to sleep, \
             involuntary if it was still runnable.",
        )
        .source("scheduler program, at each switch from a task of the container")
        .labels(&["kind"])
        .container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.with(&["voluntary"]).count(usage.voluntary_switches);
                emit.with(&["involuntary"]).count(usage.involuntary_switches);
            }
        }),
];
