//! What a container asks of the NVIDIA driver, and what becomes of it.

mod commands;

use crate::{
    exposition::{
        family::Family,
        sample::{Emit, Resolution},
    },
    snapshot::{
        ContainerRow,
        gpu_state::GpuState,
        nvidia_driver::{DriverCounters, Failure},
    },
};

const CALLS: &str = "nvidia_driver programs, at the end of each ioctl on one of the driver's devices";
const MEMORY: &str = "nvidia_driver programs, from the structures of RM_ALLOC and VID_HEAP_CONTROL";
const UVM: &str = "nvidia_driver programs, from successful calls to /dev/nvidia-uvm";

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::histogram("glassbox_container_nvidia_ioctl_duration_seconds")
        .help(
            "Duration of the container's ioctls on the NVIDIA driver, in seconds. The label command is \
               there with nvidia_driver.per_command_histograms only. Kernel launches make no ioctl: this \
               is no measure of how busy a GPU is.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(|row, emit| {
            let Some(driver) = row.nvidia_driver.as_ref() else { return };
            if driver.per_command_histograms {
                for usage in &driver.commands {
                    emit.with(&[usage.device, &usage.command])
                        .histogram(&usage.durations, Resolution::Coarse);
                }
            } else {
                commands::by_device(driver, |device, durations| {
                    emit.with(&[device]).histogram(durations, Resolution::Coarse);
                });
            }
        }),
    Family::counter("glassbox_container_nvidia_ioctls_total")
        .help(
            "Ioctls on the NVIDIA driver that have ended, by command. Commands without series of their \
               own are counted as other.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                commands::totals(driver, |device, command, calls, _| {
                    emit.with(&[device, command]).count(calls);
                });
            }
        }),
    Family::counter("glassbox_container_nvidia_ioctl_seconds_total")
        .help(
            "Total duration of the ioctls on the NVIDIA driver that have ended, in seconds, by command \
               as in glassbox_container_nvidia_ioctls_total.",
        )
        .source(CALLS)
        .labels(&["device", "command"])
        .container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                commands::totals(driver, |device, command, _, time_ns| {
                    emit.with(&[device, command]).nanoseconds(time_ns);
                });
            }
        }),
    Family::counter("glassbox_container_nvidia_rm_errors_total")
        .help(
            "Ioctls that the driver refused, by the status that it left in the caller's structure. Some \
               are normal while CUDA starts and tries what there is.",
        )
        .source(CALLS)
        .labels(&["device", "command", "status"])
        .container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Status(name) => Some(name),
                Failure::Warning(_) | Failure::Errno(_) => None,
            });
        }),
    Family::counter("glassbox_container_nvidia_rm_warnings_total")
        .help(
            "Ioctls that succeeded with a warning, by the warning status that the driver left in the \
               caller's structure, such as nothing_to_do.",
        )
        .source(CALLS)
        .labels(&["device", "command", "status"])
        .container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Warning(name) => Some(name),
                Failure::Status(_) | Failure::Errno(_) => None,
            });
        }),
    Family::counter("glassbox_container_nvidia_ioctl_errors_total")
        .help("Ioctls on the NVIDIA driver that failed before it looked at them, by error.")
        .source(CALLS)
        .labels(&["device", "command", "errno"])
        .container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Errno(name) => Some(name),
                Failure::Status(_) | Failure::Warning(_) => None,
            });
        }),
    Family::counter("glassbox_container_nvidia_undecoded_ioctls_total")
        .help(
            "Ioctls whose status is unknown: of unknown layout (another driver release, or no request \
               of the driver's), or in memory that could not be read.",
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
            "How long the container's threads slept in poll(2) or select(2) for the NVIDIA driver, in \
               seconds: how CUDA waits for a GPU where it was told to block \
               (cudaDeviceScheduleBlockingSync). Threads that spin do not show, nor do waits by epoll.",
        )
        .source("nvidia_driver programs, nvidia_poll; absent without kprobes")
        .labels(&["device"])
        .container(|row, emit| {
            for (device, durations) in row.nvidia_driver.iter().flat_map(|driver| &driver.polls) {
                emit.with(&[device]).histogram(durations, Resolution::Coarse);
            }
        }),
    Family::gauge("glassbox_container_nvidia_ioctls_in_flight")
        .help("Ioctls on the NVIDIA driver that have begun and not ended.")
        .source(CALLS)
        .container(|row, emit| emit.count(row.nvidia_driver.as_ref().map(|driver| driver.in_flight))),
    Family::gauge("glassbox_container_nvidia_ioctl_waiting_seconds")
        .help(
            "While ioctls on the NVIDIA driver are in flight: time since one last began or ended, in \
               seconds.",
        )
        .source(CALLS)
        .container(|row, emit| {
            emit.time(row.nvidia_driver.as_ref().and_then(|driver| driver.waiting));
        }),
    Family::counter("glassbox_container_gpu_memory_allocations_total")
        .help(
            "Allocations of GPU memory that the driver granted. Frameworks ask it for large chunks and \
               deal these out themselves.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.allocations)),
    Family::counter("glassbox_container_gpu_memory_allocated_bytes_total")
        .help("Bytes of GPU memory that the driver granted.")
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.allocated_bytes)),
    Family::counter("glassbox_container_gpu_memory_freed_bytes_total")
        .help(
            "Bytes of GPU memory given back by a call. What a process holds at its end is given back \
               without one.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.freed_bytes)),
    Family::counter("glassbox_container_gpu_memory_allocation_failures_total")
        .help(
            "Allocations of GPU memory that the driver refused: no_memory, or insufficient_resources of \
               another kind. One that is followed by a success is counted in the family of the recovered, \
               too.",
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
            "Refused allocations of GPU memory after which the same process got at least as much: a \
               cache was emptied, no request was lost.",
        )
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.recovered)),
    Family::counter("glassbox_container_gpu_host_memory_allocation_failures_total")
        .help("Allocations of host memory for the GPU that failed because the host had none left.")
        .source(MEMORY)
        .container(|row, emit| count(row, emit, |counters| counters.failed_host_memory)),
    Family::counter("glassbox_container_gpu_host_memory_pinned_bytes_total")
        .help("Bytes of the container's own memory pinned for the GPU.")
        .source("nvidia_driver programs, from RM_ALLOC_MEMORY and VID_HEAP_CONTROL of OS descriptors")
        .container(|row, emit| count(row, emit, |counters| counters.pinned_bytes)),
    Family::counter("glassbox_container_gpu_contexts_created_total")
        .help("CUDA contexts made: GPU address spaces registered with UVM.")
        .source(UVM)
        .container(|row, emit| count(row, emit, |counters| counters.contexts)),
    Family::counter("glassbox_container_gpu_channels_created_total")
        .help("Channels made, through which work is submitted.")
        .source(UVM)
        .container(|row, emit| count(row, emit, |counters| counters.channels)),
    Family::counter("glassbox_container_gpu_events_created_total")
        .help("Events made, on which a process can wait for the GPU.")
        .source("nvidia_driver programs, from RM_ALLOC of event classes")
        .container(|row, emit| count(row, emit, |counters| counters.events)),
    Family::gauge("glassbox_container_gpu_state")
        .help(
            "1 for what the container is doing with its GPUs, 0 for the rest; absent where that is not \
               known. agent/src/analysis/gpu_state.rs has the table by which it is decided.",
        )
        .source("nvidia_driver, NVML and scheduler, at each tick")
        .labels(&["state"])
        .container(|row, emit| {
            for state in GpuState::ALL.into_iter().filter(|_| row.gpu_state.is_some()) {
                emit.with(&[state.name()]).count(u64::from(row.gpu_state == Some(state)));
            }
        }),
    Family::gauge("glassbox_container_gpu_cold_start_seconds")
        .help(
            "How long the process that made a CUDA context last took from its start: driver_opened, \
               context_ready (its last channel, each within 1 s of the one before) and \
               last_large_allocation (16 MiB or more, each within 30 s of the one before). process is \
               what it called itself then.",
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
            "Always 1; labels: the release of the NVIDIA driver, and whether the layouts of its \
               structures are known, or assumed_newest or assumed_oldest because the release is newer or \
               older than all known ones, or of an unknown_release.",
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

fn failures(row: &ContainerRow, emit: &mut Emit<'_>, name: fn(&Failure) -> Option<&str>) {
    if let Some(driver) = &row.nvidia_driver {
        commands::failures(driver, name, |device, command, reason, count| {
            emit.with(&[device, command, reason]).count(count);
        });
    }
}
