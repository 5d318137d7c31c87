//! Replicas compared: containers of one image should have the same load.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{Histogram, LABELS, count_rate, promql, quantile, rate},
};

/// Coefficient of variation, from which replicas have a different load: at 0.5, two replicas use 75 % and 25 %.
const UNEQUAL: &[(f64, &str)] = &[(0.3, "yellow"), (0.5, "red")];

pub(super) fn row() -> Row {
    let duration = Histogram("glassbox_container_http_request_duration_seconds", "CONTAINERS");
    let by_image = |function: &str| {
        format!(
            "{function} by (image) (rate(container_cpu_usage_seconds_total{{CONTAINERS, image!=\"\"}}[$__rate_interval]))"
        )
    };
    Row {
        title: "Replicas",
        collectors: "cgroup, requests, sockets, nvml",
        panels: vec![
            Panel::table("Comparison", "Load of each container, to compare replicas. Replicas of one service should be alike.")
                .size(18, 9)
                .column(
                    "CPU usage (cores)",
                    "short",
                    &promql(&format!("{} ALIVE", rate("container_cpu_usage_seconds_total"))),
                )
                .column("Requests per second", "reqps", &promql(&format!("sum EACH ({}) ALIVE", count_rate(&duration))))
                .column("P95 request duration", "s", &promql(&format!("{} ALIVE", quantile("0.95", &duration, LABELS))))
                .column(
                    "TCP connections",
                    "short",
                    &promql("sum EACH (glassbox_container_socket_connections{CONTAINERS}) ALIVE"),
                )
                .column(
                    "GPU memory",
                    "bytes",
                    &promql("sum EACH (glassbox_container_gpu_memory_used_bytes{CONTAINERS}) ALIVE"),
                ),
            Panel::lines(
                "Imbalance of CPU usage",
                "percentunit",
                "Standard deviation / mean of the CPU usage of containers with the same image. 0: all have the same load. \
                 From 50 % on, check how the load balancer distributes requests.",
            )
            .size(6, 9)
            .limits(UNEQUAL)
            .query(
                "{{image}}",
                &promql(&format!("{} / ({} > 0.01)", by_image("stddev"), by_image("avg"))),
            ),
        ],
    }
}
