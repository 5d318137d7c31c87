//! What a container asks of the NVIDIA driver, and what becomes of it.

mod commands;

use crate::exposition::{
    Base, Emit, Family,
    Kind::{Counter, Gauge, Histogram},
    Resolution,
    Samples::{Agent, Container},
};
use crate::snapshot::{
    ContainerRow,
    gpu_state::GpuState,
    nvidia_driver::{DriverCounters, Failure},
};

const CALLS: &str = "nvidia_driver programs, at the end of each ioctl on one of the driver's devices";
const MEMORY: &str = "nvidia_driver programs, from the structures of RM_ALLOC and VID_HEAP_CONTROL";
const UVM: &str = "nvidia_driver programs, from successful calls to /dev/nvidia-uvm";

const DRIVER: Family = Family {
    name: "",
    kind: Counter,
    help: "",
    source: CALLS,
    base: Base::Container,
    labels: &[],
    samples: Container(|_, _| ()),
};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "glassbox_container_nvidia_ioctl_duration_seconds",
        kind: Histogram,
        help: "Duration of the container's ioctls on the NVIDIA driver, in seconds. The label command is there with \
               nvidia_driver.per_command_histograms only. Kernel launches make no ioctl: this is no measure of how \
               busy a GPU is.",
        labels: &["device", "command"],
        samples: Container(|row, emit| {
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
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_ioctls_total",
        help: "Ioctls on the NVIDIA driver that have ended, by command. Commands without series of their own are \
               counted as other.",
        labels: &["device", "command"],
        samples: Container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                commands::totals(driver, |device, command, calls, _| {
                    emit.with(&[device, command]).count(calls);
                });
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_ioctl_seconds_total",
        help: "Total duration of the ioctls on the NVIDIA driver that have ended, in seconds, by command as in \
               glassbox_container_nvidia_ioctls_total.",
        labels: &["device", "command"],
        samples: Container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                commands::totals(driver, |device, command, _, time_ns| {
                    emit.with(&[device, command]).nanoseconds(time_ns);
                });
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_rm_errors_total",
        help: "Ioctls that the driver refused, by the status that it left in the caller's structure. Some are \
               normal while CUDA starts and tries what there is.",
        labels: &["device", "command", "status"],
        samples: Container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Status(name) => Some(name),
                Failure::Warning(_) | Failure::Errno(_) => None,
            });
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_rm_warnings_total",
        help: "Ioctls that succeeded with a warning, by the warning status that the driver left in the caller's \
               structure, such as nothing_to_do.",
        labels: &["device", "command", "status"],
        samples: Container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Warning(name) => Some(name),
                Failure::Status(_) | Failure::Errno(_) => None,
            });
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_ioctl_errors_total",
        help: "Ioctls on the NVIDIA driver that failed before it looked at them, by error.",
        labels: &["device", "command", "errno"],
        samples: Container(|row, emit| {
            failures(row, emit, |reason| match reason {
                Failure::Errno(name) => Some(name),
                Failure::Status(_) | Failure::Warning(_) => None,
            });
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_undecoded_ioctls_total",
        help: "Ioctls whose status is unknown: of unknown layout (another driver release, or no request of the \
               driver's), or in memory that could not be read.",
        labels: &["reason"],
        samples: Container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                emit.with(&["layout"]).count(driver.counters.undecoded);
                emit.with(&["memory"]).count(driver.counters.unreadable);
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_poll_wait_seconds",
        kind: Histogram,
        help: "How long the container's threads slept in poll(2) or select(2) for the NVIDIA driver, in seconds: how \
               CUDA waits for a GPU where it was told to block (cudaDeviceScheduleBlockingSync). Threads that spin \
               do not show, nor do waits by epoll.",
        source: "nvidia_driver programs, nvidia_poll; absent without kprobes",
        labels: &["device"],
        samples: Container(|row, emit| {
            for (device, durations) in row.nvidia_driver.iter().flat_map(|driver| &driver.polls) {
                emit.with(&[device]).histogram(durations, Resolution::Coarse);
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_ioctls_in_flight",
        kind: Gauge,
        help: "Ioctls on the NVIDIA driver that have begun and not ended.",
        samples: Container(|row, emit| emit.count(row.nvidia_driver.as_ref().map(|driver| driver.in_flight))),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_nvidia_ioctl_waiting_seconds",
        kind: Gauge,
        help: "While ioctls on the NVIDIA driver are in flight: time since one last began or ended, in seconds.",
        samples: Container(|row, emit| {
            emit.time(row.nvidia_driver.as_ref().and_then(|driver| driver.waiting));
        }),
        ..DRIVER
    },
    counter(
        "glassbox_container_gpu_memory_allocations_total",
        "Allocations of GPU memory that the driver granted. Frameworks ask it for large chunks and deal these out \
         themselves.",
        MEMORY,
        Container(|row, emit| count(row, emit, |counters| counters.allocations)),
    ),
    counter(
        "glassbox_container_gpu_memory_allocated_bytes_total",
        "Bytes of GPU memory that the driver granted.",
        MEMORY,
        Container(|row, emit| count(row, emit, |counters| counters.allocated_bytes)),
    ),
    counter(
        "glassbox_container_gpu_memory_freed_bytes_total",
        "Bytes of GPU memory given back by a call. What a process holds at its end is given back without one.",
        MEMORY,
        Container(|row, emit| count(row, emit, |counters| counters.freed_bytes)),
    ),
    Family {
        name: "glassbox_container_gpu_memory_allocation_failures_total",
        help: "Allocations of GPU memory that the driver refused: no_memory, or insufficient_resources of another \
               kind. One that is followed by a success is counted in the family of the recovered, too.",
        source: MEMORY,
        labels: &["reason"],
        samples: Container(|row, emit| {
            if let Some(driver) = &row.nvidia_driver {
                emit.with(&["no_memory"]).count(driver.counters.failed_no_memory);
                emit.with(&["insufficient_resources"]).count(driver.counters.failed_insufficient_resources);
            }
        }),
        ..DRIVER
    },
    counter(
        "glassbox_container_gpu_memory_allocation_failures_recovered_total",
        "Refused allocations of GPU memory after which the same process got at least as much: a cache was emptied, \
         no request was lost.",
        MEMORY,
        Container(|row, emit| count(row, emit, |counters| counters.recovered)),
    ),
    counter(
        "glassbox_container_gpu_host_memory_allocation_failures_total",
        "Allocations of host memory for the GPU that failed because the host had none left.",
        MEMORY,
        Container(|row, emit| count(row, emit, |counters| counters.failed_host_memory)),
    ),
    counter(
        "glassbox_container_gpu_host_memory_pinned_bytes_total",
        "Bytes of the container's own memory pinned for the GPU.",
        "nvidia_driver programs, from RM_ALLOC_MEMORY and VID_HEAP_CONTROL of OS descriptors",
        Container(|row, emit| count(row, emit, |counters| counters.pinned_bytes)),
    ),
    counter(
        "glassbox_container_gpu_contexts_created_total",
        "CUDA contexts made: GPU address spaces registered with UVM.",
        UVM,
        Container(|row, emit| count(row, emit, |counters| counters.contexts)),
    ),
    counter(
        "glassbox_container_gpu_channels_created_total",
        "Channels made, through which work is submitted.",
        UVM,
        Container(|row, emit| count(row, emit, |counters| counters.channels)),
    ),
    counter(
        "glassbox_container_gpu_events_created_total",
        "Events made, on which a process can wait for the GPU.",
        "nvidia_driver programs, from RM_ALLOC of event classes",
        Container(|row, emit| count(row, emit, |counters| counters.events)),
    ),
    Family {
        name: "glassbox_container_gpu_state",
        kind: Gauge,
        help: "1 for what the container is doing with its GPUs, 0 for the rest; absent where that is not known. \
               agent/src/analysis/gpu_state.rs has the table by which it is decided.",
        source: "nvidia_driver, NVML and scheduler, at each tick",
        labels: &["state"],
        samples: Container(|row, emit| {
            for state in GpuState::ALL.into_iter().filter(|_| row.gpu_state.is_some()) {
                emit.with(&[state.name()]).count(u64::from(row.gpu_state == Some(state)));
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_container_gpu_cold_start_seconds",
        kind: Gauge,
        help: "How long the process that made a CUDA context last took from its start: driver_opened, context_ready \
               (its last channel, each within 1 s of the one before) and last_large_allocation (16 MiB or more, each \
               within 30 s of the one before). process is what it called itself then.",
        labels: &["phase", "process"],
        samples: Container(|row, emit| {
            if let Some(cold) = row.nvidia_driver.as_ref().and_then(|driver| driver.cold_start.as_ref()) {
                emit.with(&["driver_opened", &cold.process]).time(cold.driver_opened);
                emit.with(&["context_ready", &cold.process]).time(cold.context_ready);
                emit.with(&["last_large_allocation", &cold.process]).time(cold.last_large_allocation);
            }
        }),
        ..DRIVER
    },
    Family {
        name: "glassbox_nvidia_driver_info",
        kind: Gauge,
        help: "Always 1; labels: the release of the NVIDIA driver, and whether the layouts of its structures are known, or \
               assumed_newest or assumed_oldest because the release is newer or older than all known ones, or of an \
               unknown_release.",
        source: "/sys/module/nvidia/version, /proc/driver/nvidia/version or the configuration",
        base: Base::Agent,
        labels: &["release", "layouts"],
        samples: Agent(|snapshot, emit| {
            if let Some(driver) = &snapshot.host.nvidia_driver {
                emit.with(&[&driver.release, driver.layouts.as_str()]).count(1);
            }
        }),
    },
];

const fn counter(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    samples: crate::exposition::Samples,
) -> Family {
    Family { name, kind: Counter, help, source, base: Base::Container, labels: &[], samples }
}

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
