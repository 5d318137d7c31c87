//! What every container selected uses now: totals, and a line for each.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::promql,
};

/// The row.
pub(super) fn row() -> Row {
    let number = |title, unit, description, query: &str| {
        Panel::number(title, unit, description).query("", &promql(query))
    };
    let list = Panel::table(
        "Containers",
        "What each container uses now. Memory is coloured by its share of the limit.",
    )
    .column("Up for", "s", &promql("time() - max EACH (container_start_time_seconds{CONTAINERS}) ALIVE"))
    .column(
        "CPU cores",
        "short",
        &promql("sum EACH (rate(container_cpu_usage_seconds_total{CONTAINERS}[$__rate_interval])) ALIVE"),
    )
    .column(
        "Working set",
        "bytes",
        &promql("sum EACH (container_memory_working_set_bytes{CONTAINERS}) ALIVE"),
    )
    .column(
        "Of its limit",
        "percentunit",
        &promql(
            "max EACH (container_memory_working_set_bytes{CONTAINERS} \
                 / (container_spec_memory_limit_bytes{CONTAINERS} > 0)) ALIVE",
        ),
    )
    .coloured(NEARLY_FULL)
    .column(
        "Received",
        "Bps",
        &promql("sum EACH (rate(container_network_receive_bytes_total{CONTAINERS}[$__rate_interval])) ALIVE"),
    )
    .column(
        "Sent",
        "Bps",
        &promql(
            "sum EACH (rate(container_network_transmit_bytes_total{CONTAINERS}[$__rate_interval])) ALIVE",
        ),
    )
    .column(
        "P99 wait for a CPU",
        "s",
        &promql(
            "histogram_quantile(0.99, sum by (le, instance, namespace, pod, container) \
                 (rate(glassbox_container_runqueue_latency_seconds_bucket{CONTAINERS}[$__rate_interval]))) \
                 >= 0 ALIVE",
        ),
    );
    Row {
        title: "Containers at a glance",
        panels: vec![
            number(
                "Running containers",
                "none",
                "Containers alive, of those selected.",
                "sum(glassbox_container_running{CONTAINERS})",
            ),
            number(
                "CPU",
                "short",
                "CPU used by the containers selected, in cores.",
                "sum(rate(container_cpu_usage_seconds_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "Memory",
                "bytes",
                "Working set of the containers selected: memory that cannot be reclaimed easily.",
                "sum(container_memory_working_set_bytes{CONTAINERS} ALIVE)",
            ),
            number(
                "Received",
                "Bps",
                "Network traffic to the containers selected.",
                "sum(rate(container_network_receive_bytes_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "Sent",
                "Bps",
                "Network traffic from the containers selected.",
                "sum(rate(container_network_transmit_bytes_total{CONTAINERS}[$__rate_interval]))",
            ),
            number(
                "P99 wait for a CPU",
                "s",
                "One in a hundred waits for a CPU took longer, over all containers selected. Yellow from \
                 10 ms, red from 100 ms.",
                "histogram_quantile(0.99, sum by (le) \
                 (rate(glassbox_container_runqueue_latency_seconds_bucket{CONTAINERS}[$__rate_interval])))",
            )
            .limits(&[(0.01, "yellow"), (0.1, "red")]),
            list,
        ],
    }
}
