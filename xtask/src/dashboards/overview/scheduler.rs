//! Waiting for a CPU, having it, and losing it.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let quantile = |quantile: &str| {
        promql(&format!(
            "histogram_quantile({quantile}, sum by (le, instance, namespace, pod, container) \
             (rate(glassbox_container_runqueue_latency_seconds_bucket{{CONTAINERS}}[$__rate_interval])))"
        ))
    };
    Row {
        title: "Scheduler",
        panels: vec![
            Panel::heatmap(
                "Waiting for a CPU",
                "s",
                "How long tasks that could run waited for a CPU: the redder, the more of them waited that \
                 long. A band that rises means that somebody else has the CPU.",
            )
            .buckets(&promql(
                "sum by (le) \
                 (rate(glassbox_container_runqueue_latency_seconds_bucket{CONTAINERS}[$__rate_interval]))",
            )),
            Panel::lines(
                "P99 wait for a CPU",
                "s",
                "One in a hundred waits took longer. On an idle host some tens of microseconds.",
            )
            .logarithmic()
            .query(CONTAINER, &quantile("0.99")),
            Panel::lines("Median wait for a CPU", "s", "Half of the waits took longer.")
                .logarithmic()
                .query(CONTAINER, &quantile("0.5")),
            Panel::lines(
                "On CPU, of the time it could run",
                "percentunit",
                "100 %: a task that could run always had a CPU. The rest of the time it waited for one.",
            )
            .up_to(1.0)
            .query(
                CONTAINER,
                &promql(
                    "sum EACH (rate(glassbox_container_oncpu_seconds_total{CONTAINERS}[$__rate_interval])) \
                     / (sum EACH (rate(glassbox_container_oncpu_seconds_total{CONTAINERS}\
                     [$__rate_interval])) \
                     + sum EACH (rate(glassbox_container_runqueue_latency_seconds_sum{CONTAINERS}\
                     [$__rate_interval])) > 0)",
                ),
            ),
            Panel::lines(
                "Context switches",
                "cps",
                "Voluntary: a task went to sleep. Involuntary: it lost the CPU while it could have gone \
                 on, so others wanted it, too.",
            )
            .query(
                "{{container}} {{pod}} {{kind}}",
                &promql(
                    "sum by (instance, namespace, pod, container, kind) \
                     (rate(glassbox_container_context_switches_total{CONTAINERS}[$__rate_interval]))",
                ),
            ),
        ],
    }
}
