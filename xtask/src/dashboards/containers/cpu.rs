//! CPU usage and throttling.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, promql, rate},
};

pub(super) fn row() -> Row {
    Row {
        title: "CPU", collectors: "cgroup",
        panels: vec![
            Panel::lines(
                "CPU usage",
                "short",
                "CPU usage in cores. The often copied query 100 - avg(rate(...)) * 100 shows the idle share of one \
                 core instead, and is negative above one core.",
            )
            .size(8, 8)
            .query(
                CONTAINER,
                &rate("container_cpu_usage_seconds_total"),
            ),
            Panel::lines(
                "CPU usage / quota",
                "percentunit",
                "CPU usage as a share of the quota. Only containers with a quota.",
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
                "CPU throttling",
                "percentunit",
                "Share of quota periods in which the container was throttled because it had used up its quota. Only \
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
