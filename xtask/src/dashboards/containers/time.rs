//! Where the time of requests went, and containers that are stuck.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    Row {
        title: "Where the time went", collectors: "requests, threads",
        panels: vec![
            Panel::lines(
                "Time with work in flight",
                "percentunit",
                "Share of wall time with requests or Gradio jobs in flight, by what it was spent on. The shares of a \
                 container add up to at most 1; what is missing is time without work.",
            )
            .size(16, 8)
            .stacked()
            .query(
                "{{container}} {{pod}} {{activity}}",
                &promql(
                    "sum by (instance, namespace, pod, container, activity) \
                     (rate(glassbox_container_work_seconds_total{CONTAINERS}[$__rate_interval]))",
                ),
            ),
            Panel::lines(
                "Stuck containers",
                "short",
                "1 while the container is stuck: its requests, calls to the NVIDIA driver or new connections make no \
                 progress. By reason.",
            )
            .size(8, 8)
            .query(
                "{{container}} {{pod}} {{reason}}",
                &promql(
                    "sum by (instance, namespace, pod, container, reason) \
                     (glassbox_container_health{CONTAINERS, state=\"stuck\"}) > 0",
                ),
            ),
        ],
    }
}
