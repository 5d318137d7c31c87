//! GPUs: utilization, memory, power, temperature, clocks, traffic.

use std::borrow::Cow;

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::gpu::{KnownBy, MigInstance},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_gpu_info")
        .help("Always 1. Labels: name, PCI address and device minor number of the GPU.")
        .source("NVML, when the library is loaded")
        .labels(&["name", "pci_bus_id", "minor"])
        .gpu(|gpu, emit| {
            let minor = gpu.minor.map(|minor| minor.to_string()).unwrap_or_default();
            emit.with(&[&gpu.name, &gpu.pci_bus_id, &minor]).count(1);
        }),
    Family::gauge("glassbox_gpu_up")
        .help(
            "1 if the GPU responds; 0 if it has fallen off the bus, needs a reset, or NVML hangs. A GPU \
             that the driver lists but NVML does not, because it could not be initialized, is 0 under its \
             pci_bus_id.",
        )
        .source("NVML, each tick; /proc/driver/nvidia/gpus or PCI devices of the driver")
        .any_gpu(|gpu, emit| {
            emit.count((gpu.known_by != KnownBy::Xid).then_some(u64::from(gpu.up)));
        }),
    Family::gauge("glassbox_gpu_utilization_ratio")
        .help("Fraction of time in which a kernel ran on the GPU, over the last 1/6 s to 1 s.")
        .source("nvmlDeviceGetUtilizationRates; absent in MIG mode")
        .gpu(|gpu, emit| emit.real(gpu.utilization_ratio)),
    Family::histogram("glassbox_gpu_utilization_samples_ratio")
        .help(
            "Distribution of the utilization samples that the driver took since the agent started, about \
             six per second, as fractions.",
        )
        .source("nvmlDeviceGetSamples, the driver's own buffer")
        .gpu(|gpu, emit| {
            if let Some(histogram) = &gpu.utilization_samples {
                emit.ratios(histogram);
            }
        }),
    Family::gauge("glassbox_gpu_utilization_max_ratio")
        .help("Maximum of the driver's utilization samples in the last 15 s, as a fraction.")
        .source("nvmlDeviceGetSamples, the driver's own buffer")
        .gpu(|gpu, emit| emit.real(gpu.utilization_max_ratio)),
    Family::gauge("glassbox_gpu_memory_utilization_ratio")
        .help("Fraction of time in which device memory was read or written, over the last 1/6 s to 1 s.")
        .source("nvmlDeviceGetUtilizationRates; absent in MIG mode")
        .gpu(|gpu, emit| emit.real(gpu.memory_utilization_ratio)),
    Family::gauge("glassbox_gpu_encoder_utilization_ratio")
        .help("Fraction of time in which the video encoder was busy.")
        .source("nvmlDeviceGetEncoderUtilization")
        .gpu(|gpu, emit| emit.real(gpu.encoder_ratio)),
    Family::gauge("glassbox_gpu_decoder_utilization_ratio")
        .help("Fraction of time in which the video decoder was busy.")
        .source("nvmlDeviceGetDecoderUtilization")
        .gpu(|gpu, emit| emit.real(gpu.decoder_ratio)),
    Family::gauge("glassbox_gpu_memory_total_bytes")
        .help("Total device memory, in bytes.")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .gpu(|gpu, emit| emit.count(gpu.memory_total_bytes)),
    Family::gauge("glassbox_gpu_memory_used_bytes")
        .help("Allocated device memory, in bytes.")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .gpu(|gpu, emit| emit.count(gpu.memory_used_bytes)),
    Family::gauge("glassbox_gpu_memory_used_max_bytes")
        .help("Maximum allocated device memory in the last 15 s, in bytes.")
        .source("nvmlDeviceGetMemoryInfo_v2, every nvml.sample_ms")
        .gpu(|gpu, emit| emit.count(gpu.memory_used_max_bytes)),
    Family::gauge("glassbox_gpu_memory_free_bytes")
        .help("Free device memory, in bytes.")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .gpu(|gpu, emit| emit.count(gpu.memory_free_bytes)),
    Family::gauge("glassbox_gpu_memory_reserved_bytes")
        .help("Device memory reserved by driver and firmware, in bytes.")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .gpu(|gpu, emit| emit.count(gpu.memory_reserved_bytes)),
    Family::gauge("glassbox_gpu_power_watts")
        .help("Power draw, in watts; from Ampere on, except GA100, the average of the last second.")
        .source("nvmlDeviceGetPowerUsage")
        .gpu(|gpu, emit| emit.real(gpu.power_watts)),
    Family::gauge("glassbox_gpu_power_max_watts")
        .help("Maximum instantaneous power draw in the last 15 s, in watts.")
        .source("NVML field 186, every nvml.sample_ms")
        .gpu(|gpu, emit| emit.real(gpu.power_max_watts)),
    Family::gauge("glassbox_gpu_power_limit_watts")
        .help("Enforced power limit, in watts.")
        .source("nvmlDeviceGetEnforcedPowerLimit")
        .gpu(|gpu, emit| emit.real(gpu.power_limit_watts)),
    Family::counter("glassbox_gpu_energy_joules_total")
        .help("Energy consumed since the driver was loaded, in joules. Its rate is the exact average power.")
        .source("nvmlDeviceGetTotalEnergyConsumption")
        .gpu(|gpu, emit| emit.real(gpu.energy_mj.map(thousandth))),
    Family::gauge("glassbox_gpu_temperature_celsius")
        .help("Temperature of the GPU or of its memory, in degrees Celsius.")
        .source("nvmlDeviceGetTemperature; NVML field 82")
        .labels(&["sensor"])
        .gpu(|gpu, emit| {
            emit.with(&["gpu"]).real(gpu.temperature_celsius);
            emit.with(&["memory"]).real(gpu.memory_temperature_celsius);
        }),
    Family::gauge("glassbox_gpu_clock_hertz")
        .help("Clock frequency by domain (graphics, sm, memory or video), in hertz.")
        .source("nvmlDeviceGetClockInfo")
        .labels(&["domain"])
        .gpu(|gpu, emit| each_real(&gpu.clocks_hertz, emit)),
    Family::counter("glassbox_gpu_pcie_bytes_total")
        .help(
            "PCIe traffic since the agent started, in bytes, by direction as seen by the GPU: transmit or \
             receive.",
        )
        .source("NVML fields 197 and 198")
        .labels(&["direction"])
        .gpu(|gpu, emit| emit.each_count(&gpu.pcie_bytes)),
    Family::counter("glassbox_gpu_nvlink_bytes_total")
        .help("NVLink data traffic over all links, in bytes, by direction: transmit or receive.")
        .source("NVML fields 138 and 139")
        .labels(&["direction"])
        .gpu(|gpu, emit| emit.each_count(&gpu.nvlink_bytes)),
    Family::gauge("glassbox_gpu_active_ratio")
        .help(
            "Fraction of cycles since the last tick in which a unit was active: graphics, sm, sm_occupancy \
             (fraction of its warps), tensor, dram, fp64, fp32, fp16 or integer.",
        )
        .source("NVML GPM; Hopper and later")
        .labels(&["unit"])
        .gpu(|gpu, emit| each_real(&gpu.gpm.ratios, emit)),
    Family::gauge("glassbox_gpu_mig_enabled")
        .help("1 if MIG mode is enabled, 0 otherwise.")
        .source("nvmlDeviceGetMigMode")
        .gpu(|gpu, emit| emit.count(gpu.mig_enabled.map(u64::from))),
    Family::gauge("glassbox_gpu_mig_memory_total_bytes")
        .help(
            "Total device memory of a MIG instance, in bytes. mig_uuid is the index of the instance if it \
             has no UUID.",
        )
        .source("nvmlDeviceGetMemoryInfo_v2 of the instance")
        .labels(&["mig_uuid"])
        .gpu(|gpu, emit| {
            for instance in &gpu.mig_instances {
                emit.with(&[&key(instance)]).count(instance.memory_total_bytes);
            }
        }),
    Family::gauge("glassbox_gpu_mig_memory_used_bytes")
        .help(
            "Allocated device memory of a MIG instance, in bytes. mig_uuid is the index of the instance if \
             it has no UUID.",
        )
        .source("nvmlDeviceGetMemoryInfo_v2 of the instance")
        .labels(&["mig_uuid"])
        .gpu(|gpu, emit| {
            for instance in &gpu.mig_instances {
                emit.with(&[&key(instance)]).count(instance.memory_used_bytes);
            }
        }),
    Family::gauge("glassbox_gpu_processes")
        .help(
            "Processes on the GPU, by owner: container, host, or unknown if the process is not visible in \
             the agent's PID namespace.",
        )
        .source("NVML lists of compute, graphics and MPS processes; /proc/PID/cgroup")
        .labels(&["owner"])
        .gpu(|gpu, emit| emit.each_count(&gpu.processes)),
];

/// The UUID, or the index if NVML does not report a UUID: instances without one must have different labels.
fn key(instance: &MigInstance) -> Cow<'_, str> {
    if instance.uuid.is_empty() { instance.index.to_string().into() } else { instance.uuid.as_str().into() }
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
