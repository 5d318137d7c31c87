//! Who gets the time of the GPUs.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

/// The row.
pub(super) fn row() -> Row {
    let share = |title, unit, description, query: &str| {
        Panel::lines(title, unit, description).size(8, 8).query(
            "{{container}} {{pod}} on GPU {{gpu}}",
            &promql(&format!(
                "sum by (instance, namespace, pod, container, gpu) (rate({query}{{HOLDERS}}[$__rate_interval]))"
            )),
        )
    };
    Row {
        title: "Who gets the GPU time?",
        panels: vec![
            share(
                "GPU time of each container",
                "percentunit",
                "Share of time with a kernel of the container on the GPU. It says nothing of how much of the GPU \
                 that kernel used.",
                "glassbox_container_gpu_busy_seconds_total",
            )
            .up_to(1.0),
            Panel::lines(
                "Utilization of each GPU",
                "percentunit",
                "Share of time with a kernel of anybody on the GPU: the mean of all samples that the driver took, \
                 and the highest of them in 15 s.",
            )
            .size(8, 8)
            .up_to(1.0)
            .query(
                "{{instance}} GPU {{gpu}} mean",
                &promql(
                    "sum DEVICE (rate(glassbox_gpu_utilization_samples_ratio_sum{GPUS}[$__rate_interval])) \
                     / (sum DEVICE (rate(glassbox_gpu_utilization_samples_ratio_count{GPUS}[$__rate_interval])) \
                     > 0) or max DEVICE (glassbox_gpu_utilization_ratio{GPUS})",
                ),
            )
            .query(
                "{{instance}} GPU {{gpu}} peak",
                &promql("max DEVICE (glassbox_gpu_utilization_max_ratio{GPUS})"),
            ),
            share(
                "Power of each container",
                "watt",
                "Its share of the GPU's power, by its part of the work. What an idle GPU draws is nobody's.",
                "glassbox_container_gpu_energy_joules_total",
            ),
        ],
    }
}
