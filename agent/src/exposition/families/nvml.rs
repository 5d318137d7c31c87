//! How NVIDIA's management library fares.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_nvml_up")
        .help("1 while NVIDIA's management library is loaded and answers, else 0.")
        .source("the NVML thread")
        .agent(|snapshot, emit| {
            emit.count(snapshot.host.nvml.as_ref().map(|nvml| u64::from(nvml.up)));
        }),
    Family::gauge("glassbox_nvml_reading_age_seconds")
        .help(
            "Age of the last complete reading of the GPUs, in seconds. It grows while NVML hangs; after \
               3 s and three ticks the values are absent.",
        )
        .source("the NVML thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_age));
        }),
    Family::gauge("glassbox_nvml_reading_duration_seconds")
        .help("How long that reading took, in seconds.")
        .source("the NVML thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.nvml.as_ref().and_then(|nvml| nvml.reading_duration));
        }),
    Family::counter("glassbox_nvml_call_failures_total")
        .help(
            "Calls to NVML that failed, by function and error. not_supported and function_not_found are \
               usual: no GPU has everything.",
        )
        .source("the NVML thread")
        .labels(&["call", "code"])
        .agent(|snapshot, emit| {
            for (call, code, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.failures) {
                emit.with(&[call, code]).count(*count);
            }
        }),
    Family::counter("glassbox_nvml_rejected_values_total")
        .help(
            "Values from NVML that are physically impossible, by value. Each was left out; \
               docs/degradation.md lists the limits.",
        )
        .source("the NVML thread")
        .labels(&["value"])
        .agent(|snapshot, emit| {
            for (value, count) in snapshot.host.nvml.iter().flat_map(|nvml| &nvml.rejected) {
                emit.with(&[value]).count(*count);
            }
        }),
];
