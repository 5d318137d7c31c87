//! Run-queue latency, CPU time and context switches.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, buckets, promql, quantile, rate, sum_rate},
};

const WAITS: Histogram<'_> = Histogram("glassbox_container_runqueue_latency_seconds", "CONTAINERS");

pub(super) fn row() -> Row {
    let quantile = |part: &str| quantile(part, &WAITS, LABELS);
    let running = rate("glassbox_container_oncpu_seconds_total");
    let waiting = format!("sum EACH ({})", sum_rate(&WAITS));
    Row {
        title: "Run-queue latency and CPU time", collectors: "scheduler",
        panels: vec![
            Panel::heatmap(
                "Run-queue latency",
                "s",
                "Distribution of the time that runnable tasks waited for a CPU. A band that moves up means that other \
                 tasks occupy the CPUs.",
            )
            .buckets(&buckets(&WAITS)),
            Panel::lines(
                "P99 run-queue latency",
                "s",
                "99 % of the waits for a CPU are shorter. Tens of microseconds on an idle host.",
            )
            .logarithmic()
            .query(CONTAINER, &quantile("0.99")),
            Panel::lines("Median run-queue latency", "s", "Half of the waits for a CPU are shorter.")
                .logarithmic()
                .query(CONTAINER, &quantile("0.5")),
            Panel::lines(
                "CPU time / runnable time",
                "percentunit",
                "100 % means that runnable tasks always had a CPU. The rest is time spent waiting for one.",
            )
            .up_to(1.0)
            .query(
                CONTAINER,
                &promql(&format!("{running} / ({running} + {waiting} > 0)")),
            ),
            Panel::lines(
                "Context switches",
                "cps",
                "Context switches per second. Voluntary: the task went to sleep. Involuntary: the task was preempted \
                 while it was runnable.",
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
