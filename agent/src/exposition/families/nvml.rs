//! How NVIDIA's management library fares.

use crate::exposition::{
    Base, Family,
    Kind::{Counter, Gauge},
    Samples::Agent,
};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "glassbox_nvml_up",
        help: "1 while NVIDIA's management library is loaded and answers, else 0.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| {
            emit.count(snapshot.host.nvml.as_ref().map(|nvml| u64::from(nvml.up)));
        }),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_reading_age_seconds",
        help: "Age of the last complete reading of the GPUs, in seconds. It grows while NVML hangs; after 3 s and \
               three ticks the values are absent.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_age));
        }),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_reading_duration_seconds",
        help: "How long that reading took, in seconds.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_duration));
        }),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_call_failures_total",
        kind: Counter,
        help: "Calls to NVML that failed, by function and error. not_supported and function_not_found are usual: no \
               GPU has everything.",
        source: "the NVML thread",
        labels: &["call", "code"],
        samples: Agent(|snapshot, emit| {
            for (call, code, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.failures) {
                emit.with(&[call, code]).count(*count);
            }
        }),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_rejected_values_total",
        kind: Counter,
        help: "Values from NVML that are physically impossible, by value. Each was left out; docs/degradation.md lists the \
               limits.",
        source: "the NVML thread",
        labels: &["value"],
        samples: Agent(|snapshot, emit| {
            for (value, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.rejected) {
                emit.with(&[value]).count(*count);
            }
        }),
        ..NVML
    },
];

/// What the families here have in common.
const NVML: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "",
    base: Base::Agent,
    labels: &[],
    samples: Agent(|_, _| {}),
};
