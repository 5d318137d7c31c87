//! Memory that containers hold between their jobs, and whether it grows.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, memory_leak::MemoryFloor},
};

const SOURCE: &str = "gpu: NVML; host: anonymous memory and swap of the cgroup; driver: nvidia_driver \
                      programs. Busy periods from requests, Gradio and FaceFusion jobs, NVML and CPU time, each tick";

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_container_memory_leak_floor_bytes")
        .help(
            "Least memory that the container held since its last job or, while it is busy, before that, in \
             bytes. `memory` is `gpu`, `host`, or `driver` (granted by the NVIDIA driver and not freed by a \
             call). Absent until a job has ended. docs/memory-leaks.md has the definitions.",
        )
        .source(SOURCE)
        .labels(&["memory"])
        .container(|row, emit| each(row, emit, |floor, emit| emit.count(floor.floor_bytes))),
    Family::gauge("glassbox_container_memory_leak_bytes_per_job")
        .help(
            "Growth of the least memory between jobs, in bytes per job: the median slope of up to 32 jobs, \
             without the first two. Absent until nine jobs have ended.",
        )
        .source(SOURCE)
        .unit("bytes")
        .labels(&["memory"])
        .container(|row, emit| {
            each(row, emit, |floor, emit| emit.real(floor.trend.map(|trend| trend.bytes_per_job)));
        }),
    Family::gauge("glassbox_container_memory_leak_bytes_per_hour")
        .help(
            "Growth of the least memory between jobs, in bytes per hour, as \
             glassbox_container_memory_leak_bytes_per_job.",
        )
        .source(SOURCE)
        .unit("bytes")
        .labels(&["memory"])
        .container(|row, emit| {
            each(row, emit, |floor, emit| emit.real(floor.trend.map(|trend| trend.bytes_per_hour)));
        }),
    Family::gauge("glassbox_container_memory_leak_suspected")
        .help(
            "1 if the growth of the least memory between jobs is a suspected leak, 0 if not. Absent until \
             nine jobs have ended, and for `driver` if NVML reports the same memory.",
        )
        .source(SOURCE)
        .labels(&["memory"])
        .container(|row, emit| each(row, emit, |floor, emit| emit.count(floor.is_suspected.map(u64::from)))),
    Family::gauge("glassbox_container_memory_leak_seconds_to_full")
        .help(
            "Time until the free memory of the GPU, or the memory limit, is used up if a suspected leak \
             continues, in seconds. Absent without a suspected leak or without a limit.",
        )
        .source("the growth, nvmlDeviceGetMemoryInfo_v2, v2 memory.max, v1 memory.limit_in_bytes")
        .unit("seconds")
        .labels(&["memory"])
        .container(|row, emit| each(row, emit, |floor, emit| emit.time(floor.full_in))),
];

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&MemoryFloor, &mut Emit<'_>)) {
    for floor in &row.memory_floors {
        read(floor, &mut emit.with(&[floor.memory.name()]));
    }
}
