//! Calls of containers to the driver. They do not show how busy a GPU is.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, growth, promql, quantile, rate},
};

const DURATIONS: Histogram<'_> = Histogram("glassbox_container_nvidia_ioctl_duration_seconds", "CONTAINERS");

pub(super) fn row() -> Row {
    let cold = |phase: &str| {
        promql(&format!(
            "max EACH (glassbox_container_gpu_cold_start_seconds{{CONTAINERS, phase=\"{phase}\"}})"
        ))
    };
    Row {
        title: "Driver calls", collectors: "nvidia_driver",
        panels: vec![
            Panel::lines(
                "Driver call rate",
                "cps",
                "Calls per second of the 20 most frequent commands. Not a measure of GPU load: a kernel launch makes no \
                 call.",
            )
            .query(
                "{{container}} {{pod}} {{command}}",
                &promql(
                    "topk(20, sum by (instance, namespace, pod, container, command) \
                     (rate(glassbox_container_nvidia_ioctls_total{CONTAINERS}[$__rate_interval])))",
                ),
            ),
            Panel::lines("P99 ioctl duration", "s", "99 % of the ioctls on the device are shorter.")
                .logarithmic()
                .query(
                    "{{container}} {{pod}} {{device}}",
                    &promql(&format!(
                        "topk(20, {})",
                        quantile("0.99", &DURATIONS, &format!("{LABELS}, device"))
                    )),
                ),
            Panel::lines(
                "Mean ioctl duration",
                "s",
                "The 20 slowest commands. Commands without their own series are counted as other.",
            )
            .logarithmic()
            .query(
                "{{container}} {{pod}} {{command}}",
                &promql(
                    "topk(20, sum by (instance, namespace, pod, container, command) \
                     (rate(glassbox_container_nvidia_ioctl_seconds_total{CONTAINERS}[$__rate_interval])) / \
                     (sum by (instance, namespace, pod, container, command) \
                     (rate(glassbox_container_nvidia_ioctls_total{CONTAINERS}[$__rate_interval])) > 0))",
                ),
            ),
            Panel::lines(
                "Failed driver calls",
                "short",
                "Failed calls by status. While CUDA starts, some not_supported and object_not_found are normal because it \
                 probes for features.",
            )
            .query(
                "{{container}} {{pod}} {{command}} {{status}}",
                &promql(&format!(
                    "topk(20, sum by (instance, namespace, pod, container, command, status) {})",
                    growth("glassbox_container_nvidia_rm_errors_total{CONTAINERS}", "$__rate_interval")
                )),
            ),
            Panel::lines(
                "GPU memory allocated and freed",
                "Bps",
                "Bytes per second, from driver calls. Memory that a process still holds when it exits is freed without a \
                 call and not counted.",
            )
            .query(
                "{{container}} {{pod}} allocated",
                &rate("glassbox_container_gpu_memory_allocated_bytes_total"),
            )
            .query(
                "{{container}} {{pod}} freed",
                &rate("glassbox_container_gpu_memory_freed_bytes_total"),
            )
            .query(
                "{{container}} {{pod}} host memory pinned",
                &rate("glassbox_container_gpu_host_memory_pinned_bytes_total"),
            ),
            Panel::table(
                "Cold start",
                "Time since process start, for the process that last created a CUDA context. Model loaded: its last \
                 allocation of at least 16 MiB. The start ends after 30 s without such an allocation.",
            )
            .size(12, 8)
            .column("Driver opened", "s", &cold("driver_opened"))
            .column("Context ready", "s", &cold("context_ready"))
            .column("Model loaded", "s", &cold("last_large_allocation")),
            Panel::lines(
                "CUDA contexts created and calls in flight",
                "short",
                "Each new context costs a cold start.",
            )
            .size(24, 8)
            .query(
                "{{container}} {{pod}} contexts created",
                &promql(&format!(
                    "sum EACH {}",
                    growth("glassbox_container_gpu_contexts_created_total{CONTAINERS}", "$__rate_interval")
                )),
            )
            .query(
                &format!("{CONTAINER} calls in flight"),
                &promql("sum EACH (glassbox_container_nvidia_ioctls_in_flight{CONTAINERS})"),
            ),
        ],
    }
}
