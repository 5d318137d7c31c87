//! Jobs of Gradio servers: outcomes, durations and queues.
//!
//! Only functions with a job of more than a second have a histogram. Panels with a ratio or a wait are limited to them,
//! because the short functions of a page are called all the time.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, count_rate, growth, promql, quantile},
};

/// The legend of a function's series.
const FUNCTION: &str = "{{container}} {{pod}} {{fn}}";

const DURATION: Histogram<'_> = Histogram("glassbox_container_job_duration_seconds", "CONTAINERS");

pub(super) fn row() -> Row {
    // Limits series by function to functions with a histogram.
    let long = format!("and on ({LABELS}, fn) {}", count_rate(&DURATION));
    let by_function = |selector: &str| {
        let growth = growth(selector, "$__rate_interval");
        promql(&format!("sum by ({LABELS}, fn) ({growth} {long})"))
    };
    let jobs = |outcomes: &str| {
        by_function(&format!("glassbox_container_jobs_total{{CONTAINERS, outcome=~\"{outcomes}\"}}"))
    };
    let quantile = |part: &str| quantile(part, &DURATION, &format!("{LABELS}, fn"));
    Row {
        title: "Gradio jobs", collectors: "requests",
        panels: vec![
            Panel::lines(
                "Successful jobs",
                "percentunit",
                "Share of the jobs that ended with success, among those that ended with success or an error. A function \
                 that handles its own failure ends with success.",
            )
            .up_to(1.0)
            .size(8, 8)
            .query(FUNCTION, &format!("{} / ({} > 0)", jobs("success"), jobs("success|error"))),
            Panel::lines(
                "Jobs that did not succeed",
                "none",
                "Jobs that ended with an error, were cancelled or abandoned, per interval; of all functions.",
            )
            .size(8, 8)
            .query(
                "{{container}} {{pod}} {{fn}} {{outcome}}",
                &format!(
                    "sum by (instance, namespace, pod, container, fn, outcome) ({}) > 0",
                    growth(
                        "glassbox_container_jobs_total{CONTAINERS, outcome!=\"success\"}",
                        "$__rate_interval"
                    )
                ),
            ),
            Panel::lines("Jobs in flight", "none", "Jobs that have not ended, by state.").size(8, 8).query(
                "{{container}} {{pod}} {{state}}",
                &promql("sum by (instance, namespace, pod, container, state) (glassbox_container_jobs_in_flight{CONTAINERS})"),
            ),
            Panel::lines("Median job duration", "s", "Half of the jobs take less time from the request to the end.")
                .size(8, 8)
                .query(FUNCTION, &quantile("0.5")),
            Panel::lines("P95 job duration", "s", "95 % of the jobs take less time from the request to the end.")
                .size(8, 8)
                .query(FUNCTION, &quantile("0.95")),
            Panel::lines("P99 job duration", "s", "99 % of the jobs take less time from the request to the end.")
                .size(8, 8)
                .query(FUNCTION, &quantile("0.99")),
            Panel::lines("Mean queue wait", "s", "Time in the queue, per job that started.").size(12, 8).query(
                FUNCTION,
                &format!(
                    "{} / ({} > 0)",
                    by_function("glassbox_container_job_queue_seconds_total{CONTAINERS}"),
                    by_function("glassbox_container_jobs_started_total{CONTAINERS}")
                ),
            ),
            Panel::lines(
                "Queue size",
                "none",
                "Length of the queue that the server last reported, while a job is queued.",
            )
            .size(12, 8)
            .query(CONTAINER, &promql("max EACH (glassbox_container_job_queue_size{CONTAINERS})")),
        ],
    }
}
