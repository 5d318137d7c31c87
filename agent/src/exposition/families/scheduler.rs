//! Waiting for a CPU, having it, and losing it.

use crate::exposition::{
    Base, Family,
    Kind::{Counter, Histogram},
    Resolution,
    Samples::Container,
};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "glassbox_container_runqueue_latency_seconds",
        kind: Histogram,
        help: "How long the container's tasks were ready to run before they got a CPU, in seconds.",
        source: "scheduler program, at each switch to one of its tasks; buckets are powers of two, exact",
        base: Base::Container,
        labels: &[],
        samples: Container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.histogram(&usage.waits, Resolution::Fine);
            }
        }),
    },
    Family {
        name: "glassbox_container_oncpu_seconds_total",
        kind: Counter,
        help: "Time on CPU, in seconds, counted when a task leaves the CPU. On a virtual machine it includes the time that the hypervisor took away meanwhile.",
        source: "scheduler program, at each switch from one of its tasks",
        base: Base::Container,
        labels: &[],
        samples: Container(|row, emit| emit.nanoseconds(row.scheduler.as_ref().map(|usage| usage.oncpu_ns))),
    },
    Family {
        name: "glassbox_container_context_switches_total",
        kind: Counter,
        help: "Switches away from the container's tasks: voluntary when a task went to sleep, involuntary \
               when it could have gone on.",
        source: "scheduler program, at each switch from one of its tasks",
        base: Base::Container,
        labels: &["kind"],
        samples: Container(|row, emit| {
            if let Some(usage) = &row.scheduler {
                emit.with(&["voluntary"]).count(usage.voluntary_switches);
                emit.with(&["involuntary"]).count(usage.involuntary_switches);
            }
        }),
    },
];
