//! GPU time by container.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, count_rate, promql, sum_rate},
};

const SAMPLES: Histogram<'_> = Histogram("glassbox_gpu_utilization_samples_ratio", "GPUS");

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
        title: "GPU time", collectors: "nvml, inference",
        panels: vec![
            share(
                "GPU time by container",
                "percentunit",
                "Share of time in which a kernel of the container ran on the GPU. It does not show how much of the GPU the \
                 kernel used.",
                "glassbox_container_gpu_busy_seconds_total",
            )
            .up_to(1.0),
            Panel::lines(
                "GPU utilization",
                "percentunit",
                "Share of time in which any kernel ran on the GPU: mean of all samples of the driver, and maximum in 15 s.",
            )
            .size(8, 8)
            .up_to(1.0)
            .query(
                "{{instance}} GPU {{gpu}} mean",
                &promql(&format!(
                    "sum DEVICE ({}) / (sum DEVICE ({}) > 0) or max DEVICE (glassbox_gpu_utilization_ratio{{GPUS}})",
                    sum_rate(&SAMPLES),
                    count_rate(&SAMPLES)
                )),
            )
            .query(
                "{{instance}} GPU {{gpu}} peak",
                &promql("max DEVICE (glassbox_gpu_utilization_max_ratio{GPUS})"),
            ),
            share(
                "Power by container",
                "watt",
                "GPU power attributed to the container by its share of the GPU time. Idle power is not attributed.",
                "glassbox_container_gpu_energy_joules_total",
            ),
            Panel::lines(
                "Time to load models",
                "s",
                "Duration of the last load of model files, or of the one in progress. Files that are mapped instead of read are not \
                 measured.",
            )
            .size(12, 8)
            .query(CONTAINER, &promql("max EACH (glassbox_container_model_load_seconds{CONTAINERS})")),
            Panel::states(
                "Inference libraries",
                &[(1, "mapped", "blue")],
                "Inference libraries that containers with GPUs have mapped. Empty for a container without GPUs.",
            )
            .size(12, 8)
            .query(
                "{{container}} {{pod}} {{library}}",
                &promql("max by (instance, namespace, pod, container, library) (glassbox_container_inference_library_info{CONTAINERS})"),
            ),
        ],
    }
}
