//! Trends of the three resources that a service runs out of, and the latency that users feel.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, promql, quantile, rate},
};

/// Share of GPU memory from which an allocation may fail at the next peak.
const GPU_MEMORY: &[(f64, &str)] = &[(0.85, "orange"), (0.95, "red")];

pub(super) fn row() -> Row {
    let lines = |title, unit, description, query: &str| {
        Panel::lines(title, unit, description).size(8, 8).linked_to_logs().query(CONTAINER, &promql(query))
    };
    let duration = Histogram("glassbox_container_http_request_duration_seconds", "CONTAINERS");
    Row {
        title: "Resources and latency",
        collectors: "cgroup, nvml, requests",
        panels: vec![
            lines(
                "CPU usage",
                "short",
                "CPU usage in cores. Near 0 while requests wait means that the container hangs.",
                &rate("container_cpu_usage_seconds_total"),
            ),
            lines(
                "Memory usage / limit",
                "percentunit",
                "Working set as a share of the limit. From 90 % on, the kernel may kill a process at the next peak. Only containers \
                 with a limit.",
                "max EACH (container_memory_working_set_bytes{CONTAINERS} \
                 / (container_spec_memory_limit_bytes{CONTAINERS} > 0)) ALIVE",
            )
            .up_to(1.0)
            .limits(NEARLY_FULL),
            lines(
                "Memory usage",
                "bytes",
                "Working set: memory that is not easily reclaimed. A line that never falls is a leak.",
                "sum EACH (container_memory_working_set_bytes{CONTAINERS}) ALIVE",
            ),
            lines(
                "GPU time",
                "percentunit",
                "Share of time in which the container's kernels ran on a GPU, summed over GPUs.",
                &rate("glassbox_container_gpu_busy_seconds_total"),
            ),
            lines(
                "GPU memory usage",
                "percentunit",
                "The container's share of the memory of its fullest GPU. If it rises in steps and never falls, the container will run out of GPU memory.",
                "max EACH (glassbox_container_gpu_memory_used_ratio{CONTAINERS})",
            )
            .up_to(1.0)
            .limits(GPU_MEMORY),
            lines(
                "P95 request duration",
                "s",
                "95 % of the requests take less time, from their arrival at the host to the last byte of the response.",
                &quantile("0.95", &duration, LABELS),
            ),
        ],
    }
}
