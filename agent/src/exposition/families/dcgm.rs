//! dcgm-exporter's default families: its names, types, units and labels, so that dashboards made for it work unchanged.
//!
//! Deliberate differences: values that a GPU does not support are absent, while DCGM exports sentinels. The values of
//! containers are in `glassbox_container_gpu_*`, so that sums over these families stay correct. DCGM_FI_PROF_* come
//! from NVML's GPM, so they need Hopper or later; DCGM has a module for older GPUs. DCGM_FI_DEV_VGPU_LICENSE_STATUS is
//! missing, because the agent does not read virtual GPUs. Of dcgm-exporter's optional families, the ECC error counts
//! are included.

use crate::{exposition::family::Family, snapshot::gpu::Gpu};

const MIB: u64 = 1 << 20;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("DCGM_FI_DEV_SM_CLOCK")
        .help("SM clock frequency (in MHz).")
        .source("nvmlDeviceGetClockInfo")
        .unit("MHz")
        .dcgm(|gpu, emit| emit.real(clock(gpu, "sm"))),
    Family::gauge("DCGM_FI_DEV_MEM_CLOCK")
        .help("Memory clock frequency (in MHz).")
        .source("nvmlDeviceGetClockInfo")
        .unit("MHz")
        .dcgm(|gpu, emit| emit.real(clock(gpu, "memory"))),
    Family::gauge("DCGM_FI_DEV_MEMORY_TEMP")
        .help("Memory temperature (in C).")
        .source("NVML field 82")
        .unit("C")
        .dcgm(|gpu, emit| emit.real(gpu.memory_temperature_celsius)),
    Family::gauge("DCGM_FI_DEV_GPU_TEMP")
        .help("GPU temperature (in C).")
        .source("nvmlDeviceGetTemperature")
        .unit("C")
        .dcgm(|gpu, emit| emit.real(gpu.temperature_celsius)),
    Family::gauge("DCGM_FI_DEV_POWER_USAGE")
        .help("Power draw (in W).")
        .source("nvmlDeviceGetPowerUsage")
        .unit("W")
        .dcgm(|gpu, emit| emit.real(gpu.power_watts)),
    Family::counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")
        .help("Total energy consumption since boot (in mJ).")
        .source("nvmlDeviceGetTotalEnergyConsumption")
        .unit("mJ")
        .dcgm(|gpu, emit| emit.count(gpu.energy_mj)),
    Family::counter("DCGM_FI_DEV_PCIE_REPLAY_COUNTER")
        .help("Total number of PCIe retries.")
        .source("nvmlDeviceGetPcieReplayCounter")
        .dcgm(|gpu, emit| emit.count(gpu.pcie_replays)),
    Family::gauge("DCGM_FI_DEV_GPU_UTIL")
        .help("GPU utilization (in %).")
        .source("nvmlDeviceGetUtilizationRates")
        .unit("%")
        .dcgm(|gpu, emit| emit.real(percent(gpu.utilization_ratio))),
    Family::gauge("DCGM_FI_DEV_MEM_COPY_UTIL")
        .help("Memory utilization (in %).")
        .source("nvmlDeviceGetUtilizationRates")
        .unit("%")
        .dcgm(|gpu, emit| emit.real(percent(gpu.memory_utilization_ratio))),
    Family::gauge("DCGM_FI_DEV_ENC_UTIL")
        .help("Encoder utilization (in %).")
        .source("nvmlDeviceGetEncoderUtilization")
        .unit("%")
        .dcgm(|gpu, emit| emit.real(percent(gpu.encoder_ratio))),
    Family::gauge("DCGM_FI_DEV_DEC_UTIL")
        .help("Decoder utilization (in %).")
        .source("nvmlDeviceGetDecoderUtilization")
        .unit("%")
        .dcgm(|gpu, emit| emit.real(percent(gpu.decoder_ratio))),
    Family::gauge("DCGM_FI_DEV_XID_ERRORS")
        .help("Value of the last XID error encountered; 0 if there was none since the agent started.")
        .source("as glassbox_gpu_xid_errors_total")
        .labels(&["err_code", "err_msg"])
        .dcgm(|gpu, emit| {
            if let Some(xid) = gpu.last_xid.or(gpu.xid_watched.then_some(0)) {
                emit.with(&[&xid.to_string(), xid_message(xid)]).count(xid);
            }
        }),
    Family::gauge("DCGM_FI_DEV_FB_FREE")
        .help("Framebuffer memory free (in MiB).")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .unit("MiB")
        .dcgm(|gpu, emit| emit.count(gpu.memory_free_bytes.map(|bytes| bytes / MIB))),
    Family::gauge("DCGM_FI_DEV_FB_USED")
        .help("Framebuffer memory used (in MiB).")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .unit("MiB")
        .dcgm(|gpu, emit| emit.count(gpu.memory_used_bytes.map(|bytes| bytes / MIB))),
    Family::gauge("DCGM_FI_DEV_FB_RESERVED")
        .help("Framebuffer memory reserved (in MiB).")
        .source("nvmlDeviceGetMemoryInfo_v2")
        .unit("MiB")
        .dcgm(|gpu, emit| emit.count(gpu.memory_reserved_bytes.map(|bytes| bytes / MIB))),
    Family::counter("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL")
        .help("Total number of single-bit volatile ECC errors.")
        .source("NVML field 3")
        .dcgm(|gpu, emit| emit.count(count(&gpu.ecc_errors, "corrected"))),
    Family::counter("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL")
        .help("Total number of double-bit volatile ECC errors.")
        .source("NVML field 4")
        .dcgm(|gpu, emit| emit.count(count(&gpu.ecc_errors, "uncorrected"))),
    Family::counter("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS")
        .help("Number of remapped rows for uncorrectable errors.")
        .source("NVML field 143")
        .dcgm(|gpu, emit| emit.count(count(&gpu.remapped_rows, "uncorrectable"))),
    Family::counter("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS")
        .help("Number of remapped rows for correctable errors.")
        .source("NVML field 142")
        .dcgm(|gpu, emit| emit.count(count(&gpu.remapped_rows, "correctable"))),
    Family::gauge("DCGM_FI_DEV_ROW_REMAP_FAILURE")
        .help("Whether remapping of rows has failed.")
        .source("NVML field 145")
        .dcgm(|gpu, emit| emit.count(gpu.row_remap_failed.map(u64::from))),
    Family::counter("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL")
        .help("Total number of NVLink bandwidth counters for all lanes (in KiB, both directions).")
        .source("NVML fields 138 and 139")
        .unit("KiB")
        .dcgm(|gpu, emit| {
            // With only one of the directions known, the sum would be too low.
            let of = |direction| Some(count(&gpu.nvlink_bytes, direction)? / 1024);
            emit.count(of("transmit").zip(of("receive")).map(|(one, other)| one.saturating_add(other)));
        }),
    Family::gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE")
        .help("Ratio of time the graphics engine is active.")
        .source("NVML GPM")
        .dcgm(|gpu, emit| emit.real(gpu.gpm.ratio("graphics"))),
    Family::gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")
        .help("Ratio of cycles the tensor (HMMA) pipe is active.")
        .source("NVML GPM")
        .dcgm(|gpu, emit| emit.real(gpu.gpm.ratio("tensor"))),
    Family::gauge("DCGM_FI_PROF_DRAM_ACTIVE")
        .help("Ratio of cycles the device memory interface is active sending or receiving data.")
        .source("NVML GPM")
        .dcgm(|gpu, emit| emit.real(gpu.gpm.ratio("dram"))),
    Family::gauge("DCGM_FI_PROF_PCIE_TX_BYTES")
        .help("Rate of data transmitted over PCIe, headers included (in bytes per second).")
        .source("NVML GPM")
        .unit("bytes per second")
        .dcgm(|gpu, emit| emit.real(gpu.gpm.pcie_transmit_bytes_per_second)),
    Family::gauge("DCGM_FI_PROF_PCIE_RX_BYTES")
        .help("Rate of data received over PCIe, headers included (in bytes per second).")
        .source("NVML GPM")
        .unit("bytes per second")
        .dcgm(|gpu, emit| emit.real(gpu.gpm.pcie_receive_bytes_per_second)),
];

fn clock(gpu: &Gpu, domain: &str) -> Option<f64> {
    gpu.clocks_hertz.iter().find_map(|(name, hertz)| (*name == domain).then_some(hertz / 1e6))
}

fn count(counts: &[(&'static str, u64)], kind: &str) -> Option<u64> {
    counts.iter().find_map(|(name, count)| (*name == kind).then_some(*count))
}

/// Percent. NVML reports whole numbers, so rounding restores the exact value.
fn percent(ratio: Option<f64>) -> Option<f64> {
    ratio.map(|ratio| (ratio * 100.0).round())
}

/// The description of the most common Xid errors in NVIDIA's list.
fn xid_message(xid: u64) -> &'static str {
    match xid {
        0 => "No Error",
        13 => "Graphics Engine Exception",
        31 => "GPU memory page fault",
        32 => "Invalid or corrupted push buffer stream",
        43 => "GPU stopped processing",
        45 => "Preemptive cleanup, due to previous errors",
        48 => "Double Bit ECC Error",
        61 => "Internal micro-controller breakpoint/warning",
        62 => "Internal micro-controller halt",
        63 => "ECC page retirement or row remapping recording event",
        64 => "ECC page retirement or row remapper recording failure",
        69 => "Graphics Engine class error",
        74 => "NVLINK Error",
        79 => "GPU has fallen off the bus",
        92 => "High single-bit ECC error rate",
        94 => "Contained ECC error",
        95 => "Uncontained ECC error",
        119 => "GSP RPC Timeout",
        120 => "GSP Error",
        _ => "Unknown Error",
    }
}
