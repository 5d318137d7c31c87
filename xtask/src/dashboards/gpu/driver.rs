//! What containers ask of the driver. None of it says how busy a GPU is.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let cold = |phase: &str| {
        promql(&format!(
            "max EACH (glassbox_container_gpu_cold_start_seconds{{CONTAINERS, phase=\"{phase}\"}})"
        ))
    };
    Row {
        title: "Calls to the driver",
        panels: vec![
            Panel::lines(
                "Calls",
                "cps",
                "The twenty commonest commands. No measure of how busy a GPU is: starting a kernel makes no call.",
            )
            .query(
                "{{container}} {{pod}} {{command}}",
                &promql(
                    "topk(20, sum by (instance, namespace, pod, container, command) \
                     (rate(glassbox_container_nvidia_ioctls_total{CONTAINERS}[$__rate_interval])))",
                ),
            ),
            Panel::lines("P99 ioctl duration", "s", "One in a hundred ioctls on the device took longer.")
                .logarithmic()
                .query(
                    "{{container}} {{pod}} {{device}}",
                    &promql(
                        "topk(20, histogram_quantile(0.99, sum by (le, instance, namespace, pod, container, \
                         device) (rate(glassbox_container_nvidia_ioctl_duration_seconds_bucket{CONTAINERS}\
                         [$__rate_interval]))) >= 0)",
                    ),
                ),
            Panel::lines(
                "Mean ioctl duration",
                "s",
                "The twenty slowest commands. Commands without series of their own are in other.",
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
                "Refused calls",
                "short",
                "By the status that the driver left. Some are normal while CUDA starts and tries what there is: \
                 not_supported, object_not_found.",
            )
            .query(
                "{{container}} {{pod}} {{command}} {{status}}",
                &promql(&format!(
                    "topk(20, sum by (instance, namespace, pod, container, command, status) {})",
                    growth("glassbox_container_nvidia_rm_errors_total{CONTAINERS}", "$__rate_interval")
                )),
            ),
            Panel::lines(
                "Memory granted and given back",
                "Bps",
                "By calls. What a process holds at its end is given back without one.",
            )
            .query(
                "{{container}} {{pod}} granted",
                &promql(
                    "sum EACH (rate(glassbox_container_gpu_memory_allocated_bytes_total{CONTAINERS}[$__rate_interval]))",
                ),
            )
            .query(
                "{{container}} {{pod}} given back",
                &promql("sum EACH (rate(glassbox_container_gpu_memory_freed_bytes_total{CONTAINERS}[$__rate_interval]))"),
            )
            .query(
                "{{container}} {{pod}} of the host, pinned",
                &promql(
                    "sum EACH (rate(glassbox_container_gpu_host_memory_pinned_bytes_total{CONTAINERS}[$__rate_interval]))",
                ),
            ),
            Panel::table(
                "Cold start",
                "Of the process that last made a CUDA context, from its start. Loaded: its last allocation of 16 MiB or \
                 more; what comes more than 30 s after the one before no longer belongs to the start.",
            )
            .size(12, 8)
            .column("Driver opened", "s", &cold("driver_opened"))
            .column("Context ready", "s", &cold("context_ready"))
            .column("Loaded", "s", &cold("last_large_allocation")),
            Panel::lines(
                "Contexts made and calls under way",
                "short",
                "A service that makes contexts again and again pays for a cold start each time.",
            )
            .size(24, 8)
            .query(
                "{{container}} {{pod}} contexts made",
                &promql(&format!(
                    "sum EACH {}",
                    growth("glassbox_container_gpu_contexts_created_total{CONTAINERS}", "$__rate_interval")
                )),
            )
            .query(
                &format!("{CONTAINER} calls under way"),
                &promql("sum EACH (glassbox_container_nvidia_ioctls_in_flight{CONTAINERS})"),
            ),
        ],
    }
}
