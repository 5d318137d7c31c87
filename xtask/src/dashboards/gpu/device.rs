//! The GPUs themselves.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{GPU, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let lines = |title, unit, description| Panel::lines(title, unit, description).size(8, 8);
    let by = |label: &str, query: &str| promql(&query.replace("BY", &format!("by (instance, gpu, {label})")));
    Row {
        title: "The GPUs",
        panels: vec![
            lines(
                "Units at work",
                "percentunit",
                "Share of cycles in which each unit was active, which utilization does not tell. Hopper and later.",
            )
            .up_to(1.0)
            .query("{{instance}} GPU {{gpu}} {{unit}}", &by("unit", "max BY (glassbox_gpu_active_ratio{GPUS})")),
            lines("Clocks", "hertz", "Of the graphics engine, the multiprocessors (SM), the memory and video.").query(
                "{{instance}} GPU {{gpu}} {{domain}}",
                &by("domain", "max BY (glassbox_gpu_clock_hertz{GPUS})"),
            ),
            lines("Temperature", "celsius", "Of the chip, and of its memory.").query(
                "{{instance}} GPU {{gpu}} {{sensor}}",
                &by("sensor", "max BY (glassbox_gpu_temperature_celsius{GPUS})"),
            ),
            lines("Power", "watt", "Its mean, its peak within 15 s, and as a dashed line the limit in force.")
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
            lines("PCIe", "Bps", "Between the GPU and the host, as the GPU sees it.").query(
                "{{instance}} GPU {{gpu}} {{direction}}",
                &by("direction", "sum BY (rate(glassbox_gpu_pcie_bytes_total{GPUS}[$__rate_interval]))"),
            ),
            lines("NVLink", "Bps", "Between GPUs. Only those with NVLink.").query(
                "{{instance}} GPU {{gpu}} {{direction}}",
                &by("direction", "sum BY (rate(glassbox_gpu_nvlink_bytes_total{GPUS}[$__rate_interval]))"),
            ),
            lines(
                "Memory errors and replaced rows",
                "short",
                "Corrected errors are harmless while they are few. Rows are replaced for the GPU's life; one that could \
                 not be is a GPU to send back.",
            )
            .query(
                "{{instance}} GPU {{gpu}} {{kind}} errors",
                &by("kind", "sum BY (increase(glassbox_gpu_ecc_errors_total{GPUS}[$__rate_interval]))"),
            )
            .query(
                "{{instance}} GPU {{gpu}} rows for {{kind}} errors",
                &by("kind", "sum BY (increase(glassbox_gpu_remapped_rows_total{GPUS}[$__rate_interval]))"),
            )
            .query(
                "{{instance}} GPU {{gpu}} row could not be replaced",
                &promql("max DEVICE (glassbox_gpu_row_remap_failed{GPUS})"),
            )
            .query(
                "{{instance}} GPU {{gpu}} row waits for a reset",
                &promql("max DEVICE (glassbox_gpu_row_remap_pending{GPUS})"),
            ),
            lines("Errors on the way", "short", "PCIe packets that were sent again, and errors of NVLink.")
                .query(
                    "{{instance}} GPU {{gpu}} PCIe replays",
                    &promql("sum DEVICE (increase(glassbox_gpu_pcie_replays_total{GPUS}[$__rate_interval]))"),
                )
                .query(
                    "{{instance}} GPU {{gpu}} NVLink {{kind}}",
                    &by("kind", "sum BY (increase(glassbox_gpu_nvlink_errors_total{GPUS}[$__rate_interval]))"),
                ),
            lines("Video", "percentunit", "Share of time in which the encoder and the decoder were busy.")
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
