//! CPU time and throttling.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    Row {
        title: "CPU",
        panels: vec![
            Panel::lines(
                "CPU used",
                "short",
                "In cores: 1 is one core kept busy. A query that is often copied, 100 - avg(rate(...)) * \
                 100, shows the idle share of one core instead, and falls below 0 above one core.",
            )
            .size(8, 8)
            .query(
                CONTAINER,
                &promql("sum EACH (rate(container_cpu_usage_seconds_total{CONTAINERS}[$__rate_interval]))"),
            ),
            Panel::lines(
                "CPU used, of its quota",
                "percentunit",
                "Share of the CPU time that the container may use. Only containers with a quota.",
            )
            .size(8, 8)
            .up_to(1.0)
            .limits(NEARLY_FULL)
            .query(
                CONTAINER,
                &promql(
                    "sum EACH (rate(container_cpu_usage_seconds_total{CONTAINERS}[$__rate_interval])) / \
                     max EACH (container_spec_cpu_quota{CONTAINERS} / \
                     container_spec_cpu_period{CONTAINERS})",
                ),
            ),
            Panel::lines(
                "Throttled",
                "percentunit",
                "Share of quota periods in which the container used up its quota and had to stop. Only \
                 containers with a quota.",
            )
            .size(8, 8)
            .up_to(1.0)
            .query(
                CONTAINER,
                &promql(
                    "sum EACH \
                     (rate(container_cpu_cfs_throttled_periods_total{CONTAINERS}[$__rate_interval])) / \
                     (sum EACH (rate(container_cpu_cfs_periods_total{CONTAINERS}[$__rate_interval])) > 0)",
                ),
            ),
        ],
    }
}
