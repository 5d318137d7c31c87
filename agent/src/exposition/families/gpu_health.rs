//! GPU errors and clock throttling.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_gpu_throttle_active")
        .help("1 if the clocks are throttled for this reason now, 0 otherwise. Reason idle is not a fault.")
        .source("nvmlDeviceGetCurrentClocksThrottleReasons")
        .labels(&["reason"])
        .gpu(|gpu, emit| {
            for (reason, active) in &gpu.throttle_reasons {
                emit.with(&[reason]).count(u64::from(*active));
            }
        }),
    Family::counter("glassbox_gpu_throttled_seconds_total")
        .help("Time the clocks were throttled, by reason, in seconds.")
        .source("NVML fields 74 to 79")
        .labels(&["reason"])
        .gpu(|gpu, emit| {
            for (reason, time) in &gpu.throttled {
                emit.with(&[reason]).time(*time);
            }
        }),
    Family::counter("glassbox_gpu_ecc_errors_total")
        .help("Memory errors since the driver was loaded: corrected or uncorrected.")
        .source("NVML fields 3 and 4")
        .labels(&["kind"])
        .gpu(|gpu, emit| emit.each_count(&gpu.ecc_errors)),
    Family::counter("glassbox_gpu_remapped_rows_total")
        .help(
            "Memory rows remapped because of correctable or uncorrectable errors, over the lifetime of the \
             GPU.",
        )
        .source("NVML fields 142 and 143")
        .labels(&["kind"])
        .gpu(|gpu, emit| emit.each_count(&gpu.remapped_rows)),
    Family::gauge("glassbox_gpu_row_remap_pending")
        .help("1 if a memory row will be remapped at the next GPU reset, 0 otherwise.")
        .source("NVML field 144")
        .gpu(|gpu, emit| emit.count(gpu.row_remap_pending.map(u64::from))),
    Family::gauge("glassbox_gpu_row_remap_failed")
        .help("1 if a memory row could not be remapped, 0 otherwise.")
        .source("NVML field 145")
        .gpu(|gpu, emit| emit.count(gpu.row_remap_failed.map(u64::from))),
    Family::counter("glassbox_gpu_pcie_replays_total")
        .help("PCIe packets that were retransmitted.")
        .source("nvmlDeviceGetPcieReplayCounter")
        .gpu(|gpu, emit| emit.count(gpu.pcie_replays)),
    Family::counter("glassbox_gpu_nvlink_errors_total")
        .help("NVLink errors: crc_flit, crc_data, replay or recovery.")
        .source("NVML fields 38, 45, 52 and 59")
        .labels(&["kind"])
        .gpu(|gpu, emit| emit.each_count(&gpu.nvlink_errors)),
    Family::counter("glassbox_gpu_xid_errors_total")
        .help("Xid errors that the driver reported since the agent started.")
        .source(
            "nvidia_driver programs: nv_report_error, or from 575.51.02 on the tracepoint nvidia_dev_xid; \
             NVML events if neither can be attached",
        )
        .labels(&["xid"])
        .any_gpu(|gpu, emit| {
            for (number, count) in &gpu.xids {
                emit.with(&[&number.to_string()]).count(*count);
            }
        }),
];
