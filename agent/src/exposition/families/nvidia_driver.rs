//! What containers request from the NVIDIA driver, and the results.

mod ioctls;

use crate::{
    exposition::{
        family::Family,
        sample::{Emit, Resolution},
    },
    snapshot::{ContainerRow, gpu_state::GpuState, nvidia_driver::DriverCounters},
};

const CALLS: &str = "nvidia_driver programs, when an ioctl on a device of the driver returns";
const MEMORY: &str = "nvidia_driver programs, from the structures of RM_ALLOC and VID_HEAP_CONTROL";
const UVM: &str = "nvidia_driver programs, from successful ioctls on /dev/nvidia-uvm";

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::histogram("glassbox_container_nvidia_ioctl_duration_seconds")
        .help(
            "Duration of the container's ioctls on the NVIDIA driver, in seconds. Label command only with \
             nvidia_driver.per_command_histograms. CUDA kernel launches make no ioctl, so this does not \
             measure how busy a GPU is.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(ioctls::durations),
    Family::counter("glassbox_container_nvidia_ioctls_total")
        .help(
            "Completed ioctls on the NVIDIA driver, by command. Commands without series of their own are \
             counted as other.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(ioctls::counts),
    Family::counter("glassbox_container_nvidia_ioctl_seconds_total")
        .help(
            "Total duration of completed ioctls on the NVIDIA driver, in seconds, by command as in \
             glassbox_container_nvidia_ioctls_total.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(ioctls::times),
    Family::counter("glassbox_container_nvidia_rm_errors_total")
        .help(
            "Ioctls that the driver rejected, by the status that it returned in the caller's structure. \
             Some are normal while CUDA starts and probes for features.",
        )
        .source(CALLS)
        .labels(&["device", "command", "status"])
        .container(ioctls::statuses),
    Family::counter("glassbox_container_nvidia_rm_warnings_total")
        .help(
            "Ioctls that succeeded with a warning, by the warning status that the driver returned in the \
             caller's structure, such as nothing_to_do.",
        )
        .source(CALLS)
        .labels(&["device", "command", "status"])
        .container(ioctls::warnings),
    Family::counter("glassbox_container_nvidia_ioctl_errors_total")
        .help("Ioctls on the NVIDIA driver that failed before the driver processed them, by errno.")
        .source(CALLS)
        .labels(&["device", "command", "errno"])
        .container(ioctls::errors),
    Family::counter("glassbox_container_nvidia_undecoded_ioctls_total")
        .help(
            "Ioctls with an unknown status, by reason: layout (unknown structure layout, from another \
             driver release or a request that is not of the driver) or memory (the structure could not be \
             read).",
        )
        .source(CALLS)
        .labels(&["reason"])
        .container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                emit.with(&["layout"]).count(driver.counters.undecoded);
                emit.with(&["memory"]).count(driver.counters.unreadable);
            }
        }),
    Family::histogram("glassbox_container_nvidia_poll_wait_seconds")
        .help(
            "Time the container's threads slept in poll(2) or select(2) on the NVIDIA driver, in seconds. \
             CUDA waits for a GPU in this way if blocking synchronization is set \
             (cudaDeviceScheduleBlockingSync). Spinning threads and epoll waits are not included.",
        )
        .source("nvidia_driver programs, nvidia_poll; absent without kprobes")
        .labels(&["device"])
        .container(|row, emit| {
            for (device, durations) in row.nvidia_driver.iter().flat_map(|driver| &driver.polls) {
                emit.with(&[device]).histogram(durations, Resolution::Coarse);
            }
        }),
    Family::gauge("glassbox_container_nvidia_ioctls_in_flight")
        .help("Ioctls on the NVIDIA driver that are in progress.")
        .source(CALLS)
        .container(|row, emit| emit.count(row.nvidia_driver.as_ref().map(|driver| driver.in_flight))),
    Family::gauge("glassbox_container_nvidia_ioctl_waiting_seconds")
        .help(
            "Time since an ioctl on the NVIDIA driver last began or ended, in seconds. Only while ioctls \
             are in progress.",
        )
        .source(CALLS)
        .container(|row, emit| {
            emit.time(row.nvidia_driver.as_ref().and_then(|driver| driver.waiting));
        }),
    Family::counter("glassbox_container_gpu_memory_allocations_total")
        .help(
            "GPU memory allocations granted by the driver. Frameworks request large chunks and divide them \
             themselves.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.allocations)),
    Family::counter("glassbox_container_gpu_memory_allocated_bytes_total")
        .help("GPU memory granted by the driver, in bytes.")
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.allocated_bytes)),
    Family::counter("glassbox_container_gpu_memory_freed_bytes_total")
        .help(
            "GPU memory freed by ioctls, in bytes. Memory that is released when a process exits is not \
             included.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.freed_bytes)),
    Family::counter("glassbox_container_gpu_memory_allocation_failures_total")
        .help(
            "GPU memory allocations that the driver refused, by reason: no_memory, or \
             insufficient_resources of another kind. Failures followed by a success are also counted in \
             glassbox_container_gpu_memory_allocation_failures_recovered_total.",
        )
        .source(MEMORY)
        .labels(&["reason"])
        .container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                emit.with(&["no_memory"]).count(driver.counters.failed_no_memory);
                emit.with(&["insufficient_resources"]).count(driver.counters.failed_insufficient_resources);
            }
        }),
    Family::counter("glassbox_container_gpu_memory_allocation_failures_recovered_total")
        .help(
            "Refused GPU memory allocations after which the same process was granted at least as much \
             memory, for example because it emptied a cache.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.recovered)),
    Family::counter("glassbox_container_gpu_host_memory_allocation_failures_total")
        .help("Allocations of host memory for the GPU that failed because the host was out of memory.")
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.failed_host_memory)),
    Family::counter("glassbox_container_gpu_host_memory_pinned_bytes_total")
        .help("Memory of the container pinned for the GPU, in bytes.")
        .source("nvidia_driver programs, from RM_ALLOC_MEMORY and VID_HEAP_CONTROL with OS descriptors")
        .container(|row, emit| count(row, emit, |counters| counters.pinned_bytes)),
    Family::counter("glassbox_container_gpu_contexts_created_total")
        .help("CUDA contexts created: GPU address spaces registered with UVM.")
        .source(UVM)
        .container(|row, emit| count(row, emit, |counters| counters.contexts)),
    Family::counter("glassbox_container_gpu_channels_created_total")
        .help("GPU channels created. Work is submitted to a GPU through channels.")
        .source(UVM)
        .container(|row, emit| count(row, emit, |counters| counters.channels)),
    Family::counter("glassbox_container_gpu_events_created_total")
        .help("GPU events created. Processes use events to wait for a GPU.")
        .source("nvidia_driver programs, from RM_ALLOC of event classes")
        .container(|row, emit| count(row, emit, |counters| counters.events)),
    Family::gauge("glassbox_container_gpu_state")
        .help(
            "GPU state of the container: 1 for the current state, 0 for all others. Absent if the state is \
             unknown. The conditions are in agent/src/analysis/gpu_state.rs.",
        )
        .source("nvidia_driver, NVML, scheduler and inference, each tick")
        .labels(&["state"])
        .container(|row, emit| {
            for state in GpuState::ALL.into_iter().filter(|_| row.gpu_state.is_some()) {
                emit.with(&[state.name()]).count(u64::from(row.gpu_state == Some(state)));
            }
        }),
    Family::gauge("glassbox_container_gpu_cold_start_seconds")
        .help(
            "Time from the start of the process that last created a CUDA context to each phase, in seconds: \
             driver_opened, context_ready (its last channel, each within 1 s of the previous one) and \
             last_large_allocation (16 MiB or more, each within 30 s of the previous one). Label process is \
             the name of the process at that time.",
        )
        .source(CALLS)
        .labels(&["phase", "process"])
        .container(|row, emit| {
            if let Some(cold) = row.nvidia_driver.as_ref().and_then(|driver| driver.cold_start.as_ref()) {
                emit.with(&["driver_opened", &cold.process]).time(cold.driver_opened);
                emit.with(&["context_ready", &cold.process]).time(cold.context_ready);
                emit.with(&["last_large_allocation", &cold.process]).time(cold.last_large_allocation);
            }
        }),
    Family::gauge("glassbox_nvidia_driver_info")
        .help(
            "Always 1. Labels: release of the NVIDIA driver; layouts of its structures: known, \
             assumed_newest or assumed_oldest if the release is newer or older than all known ones, or \
             unknown_release.",
        )
        .source("/sys/module/nvidia/version, /proc/driver/nvidia/version or the configuration")
        .labels(&["release", "layouts"])
        .agent(|snapshot, emit| {
            if let Some(driver) = &snapshot.host.nvidia_driver {
                emit.with(&[&driver.release, driver.layouts.as_str()]).count(1);
            }
        }),
];

fn count(row: &ContainerRow, emit: &mut Emit<'_>, of: fn(&DriverCounters) -> u64) {
    emit.count(row.nvidia_driver.as_ref().map(|driver| of(&driver.counters)));
}
