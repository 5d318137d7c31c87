//! GPUs, what containers do on them, and how NVML fares.

use super::{
    Base, Emit, Family,
    Kind::{Counter, Gauge, Histogram},
    Samples::{Agent, Container, Gpu as PerGpu},
};
use crate::snapshot::{ContainerRow, gpu::ContainerGpu};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "glassbox_gpu_info",
        help: "Always 1; its labels say what the GPU is.",
        source: "NVML when the library was loaded",
        labels: &["name", "pci_bus_id", "minor"],
        samples: PerGpu(|gpu, emit| {
            let minor = gpu.minor.map(|minor| minor.to_string()).unwrap_or_default();
            emit.with(&[&gpu.name, &gpu.pci_bus_id, &minor]).count(1);
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_up",
        help: "1 while the GPU answers, 0 where it has fallen off the bus, waits for a reset, or NVML hangs.",
        source: "NVML at each tick",
        samples: PerGpu(|gpu, emit| emit.count(u64::from(gpu.up))),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_utilization_ratio",
        help: "Share of time with a kernel running on the GPU, over the last 1/6 s to 1 s.",
        source: "nvmlDeviceGetUtilizationRates; absent where the GPU is split (MIG)",
        samples: PerGpu(|gpu, emit| emit.real(gpu.utilization_ratio)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_utilization_samples_ratio",
        kind: Histogram,
        help: "Every sample of utilization that the driver took since the agent started, about six per second.",
        source: "nvmlDeviceGetSamples, the driver's own buffer",
        samples: PerGpu(|gpu, emit| {
            if let Some(histogram) = &gpu.utilization_samples {
                emit.ratios(histogram);
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_utilization_max_ratio",
        help: "The highest of the driver's samples of utilization in the last 15 s.",
        source: "nvmlDeviceGetSamples, the driver's own buffer",
        samples: PerGpu(|gpu, emit| emit.real(gpu.utilization_max_ratio)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_utilization_ratio",
        help: "Share of time with device memory being read or written, over the last 1/6 s to 1 s.",
        source: "nvmlDeviceGetUtilizationRates; absent where the GPU is split (MIG)",
        samples: PerGpu(|gpu, emit| emit.real(gpu.memory_utilization_ratio)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_encoder_utilization_ratio",
        help: "Share of time in which the video encoder was busy.",
        source: "nvmlDeviceGetEncoderUtilization",
        samples: PerGpu(|gpu, emit| emit.real(gpu.encoder_ratio)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_decoder_utilization_ratio",
        help: "Share of time in which the video decoder was busy.",
        source: "nvmlDeviceGetDecoderUtilization",
        samples: PerGpu(|gpu, emit| emit.real(gpu.decoder_ratio)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_total_bytes",
        help: "Device memory, in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2",
        samples: PerGpu(|gpu, emit| emit.count(gpu.memory_total_bytes)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_used_bytes",
        help: "Device memory that is allocated, in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2",
        samples: PerGpu(|gpu, emit| emit.count(gpu.memory_used_bytes)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_used_max_bytes",
        help: "The most device memory that was allocated in the last 15 s, in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2, every nvml.sample_ms",
        samples: PerGpu(|gpu, emit| emit.count(gpu.memory_used_max_bytes)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_free_bytes",
        help: "Device memory that can be allocated, in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2",
        samples: PerGpu(|gpu, emit| emit.count(gpu.memory_free_bytes)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_memory_reserved_bytes",
        help: "Device memory that driver and firmware keep, in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2",
        samples: PerGpu(|gpu, emit| emit.count(gpu.memory_reserved_bytes)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_power_watts",
        help: "Power drawn; from Ampere on (but GA100) the mean of the last second.",
        source: "nvmlDeviceGetPowerUsage",
        samples: PerGpu(|gpu, emit| emit.real(gpu.power_watts)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_power_max_watts",
        help: "The highest momentary power drawn in the last 15 s.",
        source: "NVML field 186, every nvml.sample_ms",
        samples: PerGpu(|gpu, emit| emit.real(gpu.power_max_watts)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_power_limit_watts",
        help: "The power limit in force.",
        source: "nvmlDeviceGetEnforcedPowerLimit",
        samples: PerGpu(|gpu, emit| emit.real(gpu.power_limit_watts)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_energy_joules_total",
        kind: Counter,
        help: "Energy used since the driver was loaded. Its rate is the true mean of the power.",
        source: "nvmlDeviceGetTotalEnergyConsumption",
        samples: PerGpu(|gpu, emit| emit.real(gpu.energy_mj.map(thousandth))),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_temperature_celsius",
        help: "Temperature of the chip or of its memory.",
        source: "nvmlDeviceGetTemperature; NVML field 82",
        labels: &["sensor"],
        samples: PerGpu(|gpu, emit| {
            emit.with(&["gpu"]).real(gpu.temperature_celsius);
            emit.with(&["memory"]).real(gpu.memory_temperature_celsius);
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_clock_hertz",
        help: "Clock of a domain: graphics, sm, memory or video.",
        source: "nvmlDeviceGetClockInfo",
        labels: &["domain"],
        samples: PerGpu(|gpu, emit| each_real(&gpu.clocks_hertz, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_throttle_active",
        help: "1 where the clocks are held down for this reason now, else 0. Reason idle is no fault.",
        source: "nvmlDeviceGetCurrentClocksThrottleReasons",
        labels: &["reason"],
        samples: PerGpu(|gpu, emit| {
            for (reason, active) in &gpu.throttle_reasons {
                emit.with(&[reason]).count(u64::from(*active));
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_throttled_seconds_total",
        kind: Counter,
        help: "Time in which the clocks were held down, in seconds, by reason.",
        source: "NVML fields 74 to 79",
        labels: &["reason"],
        samples: PerGpu(|gpu, emit| {
            for (reason, time) in &gpu.throttled {
                emit.with(&[reason]).time(*time);
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_ecc_errors_total",
        kind: Counter,
        help: "Memory errors since the driver was loaded: corrected or uncorrected.",
        source: "NVML fields 3 and 4",
        labels: &["kind"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.ecc_errors, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_remapped_rows_total",
        kind: Counter,
        help: "Rows of memory that were replaced for correctable or uncorrectable errors, over the GPU's life.",
        source: "NVML fields 142 and 143",
        labels: &["kind"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.remapped_rows, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_row_remap_pending",
        help: "1 where a row of memory will be replaced at the next reset, else 0.",
        source: "NVML field 144",
        samples: PerGpu(|gpu, emit| emit.count(gpu.row_remap_pending.map(u64::from))),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_row_remap_failed",
        help: "1 where a row of memory could not be replaced, else 0.",
        source: "NVML field 145",
        samples: PerGpu(|gpu, emit| emit.count(gpu.row_remap_failed.map(u64::from))),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_pcie_replays_total",
        kind: Counter,
        help: "PCIe packets that were sent again.",
        source: "nvmlDeviceGetPcieReplayCounter",
        samples: PerGpu(|gpu, emit| emit.count(gpu.pcie_replays)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_pcie_bytes_total",
        kind: Counter,
        help: "Bytes over PCIe since the agent started, as the GPU sees it: transmit or receive.",
        source: "NVML fields 197 and 198",
        labels: &["direction"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.pcie_bytes, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_nvlink_bytes_total",
        kind: Counter,
        help: "Bytes of data over all NVLinks: transmit or receive.",
        source: "NVML fields 138 and 139",
        labels: &["direction"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.nvlink_bytes, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_nvlink_errors_total",
        kind: Counter,
        help: "NVLink errors: crc_flit, crc_data, replay or recovery.",
        source: "NVML fields 38, 45, 52 and 59",
        labels: &["kind"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.nvlink_errors, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_active_ratio",
        help: "Share of cycles in which a unit was active, since the last tick: graphics, sm, sm_occupancy (of its \
               warps), tensor, dram, fp64, fp32, fp16 or integer.",
        source: "NVML's GPM; Hopper and later",
        labels: &["unit"],
        samples: PerGpu(|gpu, emit| each_real(&gpu.gpm.ratios, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_xid_errors_total",
        kind: Counter,
        help: "Errors that the driver reported with this Xid, since the agent started.",
        source: "NVML's events",
        labels: &["xid"],
        samples: PerGpu(|gpu, emit| {
            for (number, count) in &gpu.xids {
                emit.with(&[&number.to_string()]).count(*count);
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_mig_enabled",
        help: "1 where the GPU is split into instances (MIG), else 0.",
        source: "nvmlDeviceGetMigMode",
        samples: PerGpu(|gpu, emit| emit.count(gpu.mig_enabled.map(u64::from))),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_mig_memory_total_bytes",
        help: "Device memory of an instance (MIG), in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2 of the instance",
        labels: &["mig_uuid"],
        samples: PerGpu(|gpu, emit| {
            for instance in &gpu.mig_instances {
                emit.with(&[&instance.uuid]).count(instance.memory_total_bytes);
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_mig_memory_used_bytes",
        help: "Device memory that is allocated in an instance (MIG), in bytes.",
        source: "nvmlDeviceGetMemoryInfo_v2 of the instance",
        labels: &["mig_uuid"],
        samples: PerGpu(|gpu, emit| {
            for instance in &gpu.mig_instances {
                emit.with(&[&instance.uuid]).count(instance.memory_used_bytes);
            }
        }),
        ..GPU
    },
    Family {
        name: "glassbox_gpu_processes",
        help: "Processes on the GPU, by owner: container, host, or unknown where the agent's process namespace does \
               not show them.",
        source: "NVML's lists of compute, graphics and MPS processes; /proc/PID/cgroup",
        labels: &["owner"],
        samples: PerGpu(|gpu, emit| each_count(&gpu.processes, emit)),
        ..GPU
    },
    Family {
        name: "glassbox_container_gpu_utilization_ratio",
        help: "Share of time in which the container's kernels ran on the GPU.",
        source: "nvmlDeviceGetProcessUtilization; a process missing from a sample keeps its value for 3 s",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.utilization_ratio))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_memory_utilization_ratio",
        help: "Share of time in which the container's kernels read or wrote device memory.",
        source: "nvmlDeviceGetProcessUtilization",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.memory_utilization_ratio))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_encoder_utilization_ratio",
        help: "Share of time in which the video encoder worked for the container.",
        source: "nvmlDeviceGetProcessUtilization",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.encoder_ratio))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_decoder_utilization_ratio",
        help: "Share of time in which the video decoder worked for the container.",
        source: "nvmlDeviceGetProcessUtilization",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.decoder_ratio))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_memory_used_bytes",
        help: "Device memory that the container's processes hold, in bytes.",
        source: "NVML's lists of compute, graphics and MPS processes; absent where it is unknown for one of them",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.count(gpu.memory_used_bytes))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_memory_used_ratio",
        help: "Device memory that the container's processes hold, by all memory of the GPU.",
        source: "NVML's lists of compute, graphics and MPS processes; nvmlDeviceGetMemoryInfo_v2",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.memory_used_ratio))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_processes",
        help: "The container's processes on the GPU.",
        source: "NVML's lists of compute, graphics and MPS processes",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.count(gpu.processes))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_busy_seconds_total",
        kind: Counter,
        help: "Time in which the container's kernels ran on the GPU, in seconds, since the agent first saw it there.",
        source: "nvmlDeviceGetProcessUtilization, integrated at each tick",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.time(gpu.busy))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_container_gpu_energy_joules_total",
        kind: Counter,
        help: "The container's share of the GPU's energy since the agent first saw it there: what was used between \
               two ticks, by its part of the utilization of all processes. Energy used while none was busy is \
               nobody's.",
        source: "nvmlDeviceGetTotalEnergyConsumption, nvmlDeviceGetProcessUtilization",
        samples: Container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.energy_joules))),
        ..CONTAINER
    },
    Family {
        name: "glassbox_nvml_up",
        help: "1 while NVIDIA's management library is loaded and answers, else 0.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| emit.count(snapshot.nvml.as_ref().map(|nvml| u64::from(nvml.up)))),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_reading_age_seconds",
        help: "Age of the last complete reading of the GPUs, in seconds. It grows while NVML hangs; after 3 s and \
               three ticks the values are absent.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| emit.time(snapshot.nvml.as_ref().and_then(|nvml| nvml.reading_age))),
        ..NVML
    },
    Family {
        name: "glassbox_nvml_reading_duration_seconds",
        help: "How long that reading took, in seconds.",
        source: "the NVML thread",
        samples: Agent(|snapshot, emit| {
            emit.time(snapshot.nvml.as_ref().and_then(|nvml| nvml.reading_duration));
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
            for (call, code, count) in snapshot.nvml.iter().flat_map(|nvml| &nvml.failures) {
                emit.with(&[call, code]).count(*count);
            }
        }),
        ..NVML
    },
];

/// What the families of a GPU have in common.
const GPU: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "",
    base: Base::Gpu,
    labels: &[],
    samples: PerGpu(|_, _| {}),
};
/// What those of a container on a GPU have in common.
const CONTAINER: Family =
    Family { base: Base::Container, labels: &["gpu", "uuid"], samples: Container(|_, _| {}), ..GPU };
/// What those of the library have in common.
const NVML: Family = Family { base: Base::Agent, samples: Agent(|_, _| {}), ..GPU };

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&ContainerGpu, &mut Emit<'_>)) {
    for gpu in &row.gpus {
        read(gpu, &mut emit.with(&[&gpu.index.to_string(), &gpu.uuid]));
    }
}

fn each_count(values: &[(&'static str, u64)], emit: &mut Emit<'_>) {
    for (label, count) in values {
        emit.with(&[label]).count(*count);
    }
}

fn each_real(values: &[(&'static str, f64)], emit: &mut Emit<'_>) {
    for (label, value) in values {
        emit.with(&[label]).real(*value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "millijoules of years stay below 2^53")]
fn thousandth(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}
