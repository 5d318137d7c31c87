//! The state of the connection to NVML.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_nvml_up")
        .help("1 if the NVML library is loaded and responds, 0 otherwise.")
        .source("NVML thread")
        .agent(|snapshot, emit| {
            emit.count(snapshot.host.nvml.as_ref().map(|nvml| u64::from(nvml.up)));
        }),
    Family::gauge("glassbox_nvml_reading_age_seconds")
        .help(
            "Age of the last complete reading of the GPUs, in seconds. Grows while NVML hangs; after 3 s \
             and three ticks the values are absent.",
        )
        .source("NVML thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_age));
        }),
    Family::gauge("glassbox_nvml_reading_duration_seconds")
        .help("Duration of the last complete reading of the GPUs, in seconds.")
        .source("NVML thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_duration));
        }),
    Family::counter("glassbox_nvml_call_failures_total")
        .help(
            "Failed NVML calls, by function and error. not_supported and function_not_found are normal, \
             because no GPU supports everything.",
        )
        .source("NVML thread")
        .labels(&["call", "code"])
        .agent(|snapshot, emit| {
            for (call, code, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.failures) {
                emit.with(&[call, code]).count(*count);
            }
        }),
    Family::counter("glassbox_nvml_rejected_values_total")
        .help(
            "Physically impossible values reported by NVML, by name of the value. They are dropped; \
             docs/degradation.md lists the limits.",
        )
        .source("NVML thread")
        .labels(&["value"])
        .agent(|snapshot, emit| {
            for (value, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.rejected) {
                emit.with(&[value]).count(*count);
            }
        }),
];
