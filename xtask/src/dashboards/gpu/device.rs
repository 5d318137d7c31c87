//! GPU hardware: clocks, temperature, power, links and errors.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{GPU, promql},
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description| Panel::lines(title, unit, description).size(8, 8);
    let by = |label: &str, query: &str| promql(&query.replace("BY", &format!("by (instance, gpu, {label})")));
    Row {
        title: "GPU hardware", collectors: "nvml",
        panels: vec![
            lines(
                "Active units",
                "percentunit",
                "Share of cycles in which each unit was active. Hopper and later.",
            )
            .up_to(1.0)
            .query("{{instance}} GPU {{gpu}} {{unit}}", &by("unit", "max BY (glassbox_gpu_active_ratio{GPUS})")),
            lines("Clock frequencies", "hertz", "Clock of the graphics engine, the multiprocessors (SM), memory and video.").query(
                "{{instance}} GPU {{gpu}} {{domain}}",
                &by("domain", "max BY (glassbox_gpu_clock_hertz{GPUS})"),
            ),
            lines("Temperature", "celsius", "Temperature of the GPU and of its memory.").query(
                "{{instance}} GPU {{gpu}} {{sensor}}",
                &by("sensor", "max BY (glassbox_gpu_temperature_celsius{GPUS})"),
            ),
            lines("Power draw", "watt", "Mean, peak within 15 s, and the enforced limit (dashed).")
                .dashed("/ limit$/")
                .query(GPU, &promql("sum DEVICE (rate(glassbox_gpu_energy_joules_total{GPUS}[$__rate_interval]))"))
                .query(
                    "{{instance}} GPU {{gpu}} peak",
                    &promql("max DEVICE (glassbox_gpu_power_max_watts{GPUS})"),
                )
                .query(
                    "{{instance}} GPU {{gpu}} limit",
                    &promql("max DEVICE (glassbox_gpu_power_limit_watts{GPUS})"),
                ),
            lines("PCIe throughput", "Bps", "Traffic between GPU and host, measured by the GPU.").query(
                "{{instance}} GPU {{gpu}} {{direction}}",
                &by("direction", "sum BY (rate(glassbox_gpu_pcie_bytes_total{GPUS}[$__rate_interval]))"),
            ),
            lines("NVLink throughput", "Bps", "Traffic between GPUs. Only GPUs with NVLink.").query(
                "{{instance}} GPU {{gpu}} {{direction}}",
                &by("direction", "sum BY (rate(glassbox_gpu_nvlink_bytes_total{GPUS}[$__rate_interval]))"),
            ),
            lines(
                "ECC errors and row remapping",
                "short",
                "A few corrected errors are harmless. Row remappings are permanent. If a row could not be remapped, \
                 replace the GPU.",
            )
            .events()
            .query(
                "{{instance}} GPU {{gpu}} {{kind}} errors",
                &by("kind", "sum BY (increase(glassbox_gpu_ecc_errors_total{GPUS}[$__rate_interval]))"),
            )
            .query(
                "{{instance}} GPU {{gpu}} rows remapped after {{kind}} errors",
                &by("kind", "sum BY (increase(glassbox_gpu_remapped_rows_total{GPUS}[$__rate_interval]))"),
            )
            .query(
                "{{instance}} GPU {{gpu}} row remapping failed",
                &promql("max DEVICE (glassbox_gpu_row_remap_failed{GPUS})"),
            )
            .query(
                "{{instance}} GPU {{gpu}} row remapping pending (reset needed)",
                &promql("max DEVICE (glassbox_gpu_row_remap_pending{GPUS})"),
            ),
            lines("PCIe and NVLink errors", "short", "PCIe replays (retransmitted packets) and NVLink errors.")
                .events()
                .query(
                    "{{instance}} GPU {{gpu}} PCIe replays",
                    &promql("sum DEVICE (increase(glassbox_gpu_pcie_replays_total{GPUS}[$__rate_interval]))"),
                )
                .query(
                    "{{instance}} GPU {{gpu}} NVLink {{kind}}",
                    &by("kind", "sum BY (increase(glassbox_gpu_nvlink_errors_total{GPUS}[$__rate_interval]))"),
                ),
            lines("Video encoder and decoder", "percentunit", "Share of time in which the encoder and the decoder were busy.")
                .up_to(1.0)
                .query(
                    "{{instance}} GPU {{gpu}} encoder",
                    &promql("max DEVICE (glassbox_gpu_encoder_utilization_ratio{GPUS})"),
                )
                .query(
                    "{{instance}} GPU {{gpu}} decoder",
                    &promql("max DEVICE (glassbox_gpu_decoder_utilization_ratio{GPUS})"),
                ),
        ],
    }
}
