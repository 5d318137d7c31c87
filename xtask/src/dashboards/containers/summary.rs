//! Current resource usage of the selected containers: totals, and a table row for each container.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{Histogram, LABELS, promql, quantile, rate},
};

const WAITS: Histogram<'_> = Histogram("glassbox_container_runqueue_latency_seconds", "CONTAINERS");

pub(super) fn row() -> Row {
    let number = |title, unit, description, query: &str| {
        Panel::number(title, unit, description).query("", &promql(query))
    };
    let list = Panel::table(
        "Containers",
        "Current resource usage of each container. The share of the memory limit is coloured.",
    )
    .column("Uptime", "s", &promql("time() - max EACH (container_start_time_seconds{CONTAINERS}) ALIVE"))
    .column(
        "CPU usage (cores)",
        "short",
        &promql(&format!("{} ALIVE", rate("container_cpu_usage_seconds_total"))),
    )
    .column(
        "Working set",
        "bytes",
        &promql("sum EACH (container_memory_working_set_bytes{CONTAINERS}) ALIVE"),
    )
    .column(
        "Working set / limit",
        "percentunit",
        &promql(
            "max EACH (container_memory_working_set_bytes{CONTAINERS} \
                 / (container_spec_memory_limit_bytes{CONTAINERS} > 0)) ALIVE",
        ),
    )
    .coloured(NEARLY_FULL)
    .column(
        "Bytes received",
        "Bps",
        &promql(&format!("{} ALIVE", rate("container_network_receive_bytes_total"))),
    )
    .column(
        "Bytes sent",
        "Bps",
        &promql(&format!("{} ALIVE", rate("container_network_transmit_bytes_total"))),
    )
    .column(
        "P99 run-queue latency",
        "s",
        &promql(&format!("{} ALIVE", quantile("0.99", &WAITS, LABELS))),
    );
    Row {
        title: "Summary", collectors: "cgroup, network, scheduler",
        panels: vec![
            number(
                "Running containers",
                "none",
                "Number of selected containers that are running.",
                "sum(glassbox_container_running{CONTAINERS})",
            ),
            number(
                "CPU usage",
                "short",
                "CPU usage of the selected containers, in cores.",
                "sum(rate(container_cpu_usage_seconds_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "Working set",
                "bytes",
                "Working set of the selected containers: memory that is not easily reclaimed.",
                "sum(container_memory_working_set_bytes{CONTAINERS} ALIVE)",
            ),
            number(
                "Bytes received",
                "Bps",
                "Network bytes received per second by the selected containers.",
                "sum(rate(container_network_receive_bytes_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "Bytes sent",
                "Bps",
                "Network bytes sent per second by the selected containers.",
                "sum(rate(container_network_transmit_bytes_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "P99 run-queue latency",
                "s",
                "99 % of the waits for a CPU are shorter, over all selected containers. Yellow from 10 ms, red from \
                 100 ms.",
                &quantile("0.99", &WAITS, ""),
            )
            .limits(&[(0.01, "yellow"), (0.1, "red")]),
            list,
        ],
    }
}
