//! The load of hosts over time.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description, query: &str| {
        Panel::lines(title, unit, description).size(8, 8).query("{{instance}}", &promql(query))
    };
    Row {
        title: "Trends",
        collectors: "cgroup, nvml, requests",
        panels: vec![
            lines(
                "CPU usage of containers",
                "short",
                "CPU usage of all containers of the host, in cores.",
                "sum by (instance) (rate(container_cpu_usage_seconds_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "GPU utilization",
                "percentunit",
                "Mean over the GPUs of the host.",
                "avg by (instance) (glassbox_gpu_utilization_ratio{AGENTS})",
            )
            .up_to(1.0),
            lines(
                "HTTP requests",
                "reqps",
                "Requests that the containers of the host answered, per second.",
                "sum by (instance) (rate(glassbox_container_http_requests_total{AGENTS}[$__rate_interval]))",
            ),
        ],
    }
}
