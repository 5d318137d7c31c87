//! GPU use of containers, as NVML reports it.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, gpu::ContainerGpu},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_container_gpu_utilization_ratio")
        .help("Fraction of time in which the container's kernels ran on the GPU.")
        .source("nvmlDeviceGetProcessUtilization; a process missing from a sample keeps its value for 3 s")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.utilization_ratio))),
    Family::gauge("glassbox_container_gpu_memory_utilization_ratio")
        .help("Fraction of time in which the container's kernels read or wrote device memory.")
        .source("nvmlDeviceGetProcessUtilization")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.memory_utilization_ratio))),
    Family::gauge("glassbox_container_gpu_encoder_utilization_ratio")
        .help("Fraction of time in which the video encoder worked for the container.")
        .source("nvmlDeviceGetProcessUtilization")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.encoder_ratio))),
    Family::gauge("glassbox_container_gpu_decoder_utilization_ratio")
        .help("Fraction of time in which the video decoder worked for the container.")
        .source("nvmlDeviceGetProcessUtilization")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.decoder_ratio))),
    Family::gauge("glassbox_container_gpu_memory_used_bytes")
        .help("Device memory used by the container's processes, in bytes.")
        .source("NVML lists of compute, graphics and MPS processes; absent if unknown for one of them")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.count(gpu.memory_used_bytes))),
    Family::gauge("glassbox_container_gpu_memory_used_ratio")
        .help("Device memory used by the container's processes, as a fraction of the GPU's total memory.")
        .source("NVML lists of compute, graphics and MPS processes; nvmlDeviceGetMemoryInfo_v2")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.memory_used_ratio))),
    Family::gauge("glassbox_container_gpu_processes")
        .help("The container's processes on the GPU.")
        .source("NVML lists of compute, graphics and MPS processes")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.count(gpu.processes))),
    Family::counter("glassbox_container_gpu_busy_seconds_total")
        .help(
            "Time in which the container's kernels ran on the GPU since the agent first saw the container \
             there, in seconds.",
        )
        .source("nvmlDeviceGetProcessUtilization, integrated at each tick")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.time(gpu.busy))),
    Family::counter("glassbox_container_gpu_energy_joules_total")
        .help(
            "The container's share of the GPU's energy since the agent first saw the container there, in \
             joules: the energy used between two ticks, divided by the utilization of each process. Energy \
             used while no process is busy is not attributed.",
        )
        .source("nvmlDeviceGetTotalEnergyConsumption, nvmlDeviceGetProcessUtilization")
        .labels(&["gpu", "uuid"])
        .container(|row, emit| each(row, emit, |gpu, emit| emit.real(gpu.energy_joules))),
];

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&ContainerGpu, &mut Emit<'_>)) {
    for gpu in &row.gpus {
        read(gpu, &mut emit.with(&[&gpu.index.to_string(), &gpu.uuid]));
    }
}
