//! FaceFusion's jobs: rate, errors and duration, then the queue, phases and speed.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, growth, promql, quantile},
};

const DURATION: Histogram<'_> = Histogram("glassbox_facefusion_job_duration_seconds", "CONTAINERS");
const WAIT: Histogram<'_> = Histogram("glassbox_facefusion_job_queue_wait_seconds", "CONTAINERS");

pub(super) fn row() -> Row {
    let jobs = |by: &str, matchers: &str| {
        let counter = format!("glassbox_facefusion_jobs_total{{CONTAINERS{matchers}}}");
        promql(&format!("sum by ({LABELS}{by}) {}", growth(&counter, "$__rate_interval")))
    };
    Row {
        title: "FaceFusion jobs",
        collectors: "facefusion",
        panels: vec![
            Panel::lines(
                "FaceFusion jobs that ended",
                "none",
                "Jobs that ended per interval, by outcome. The reason of a failure is known if FaceFusion or the driver show it.",
            )
            .size(8, 8)
            .query(
                "{{container}} {{pod}} {{outcome}} {{reason}}",
                &format!("{} > 0", jobs(", outcome, reason", "")),
            ),
            Panel::lines(
                "Failed FaceFusion jobs",
                "percentunit",
                "Share of the ended jobs that failed or were abandoned, refusals by the content filter included.",
            )
            .size(8, 8)
            .up_to(1.0)
            .query(
                CONTAINER,
                &format!("{} / ({} > 0)", jobs("", ", outcome!=\"completed\""), jobs("", "")),
            ),
            Panel::lines(
                "Unfinished FaceFusion jobs",
                "none",
                "Drafted jobs are not submitted yet. A queue that grows while a job is running needs a faster GPU or another \
                 replica.",
            )
            .size(8, 8)
            .query(
                "{{container}} {{pod}} {{status}}",
                &promql(&format!(
                    "sum by ({LABELS}, status) (glassbox_facefusion_unfinished_jobs{{CONTAINERS}})"
                )),
            ),
            quantiles(
                "FaceFusion job duration",
                "Time from the start of the first step to the end of completed and failed jobs: half, 95 % and 99 % of them take less.",
                &DURATION,
            ),
            quantiles(
                "Wait in FaceFusion's queue",
                "Time from the submission to the start of the first step: half, 95 % and 99 % of the jobs wait less.",
                &WAIT,
            ),
            Panel::lines(
                "Time by phase",
                "percentunit",
                "Share of time that running jobs spent in each phase. A large share of download or probe is not work of the GPU.",
            )
            .size(8, 8)
            .stacked()
            .query(
                "{{container}} {{pod}} {{phase}}",
                &promql(&format!(
                    "sum by ({LABELS}, phase) (rate(glassbox_facefusion_phase_seconds_total{{CONTAINERS}}[$__rate_interval])) > 0"
                )),
            ),
            Panel::lines(
                "Frames per second",
                "none",
                "Frames of videos that were processed per second. A job that is slower than its neighbours at the same resolution \
                 has less of the GPU, or runs on the CPU.",
            )
            .size(12, 8)
            .query(
                CONTAINER,
                &promql("sum EACH (rate(glassbox_facefusion_frames_total{CONTAINERS}[$__rate_interval]))"),
            ),
            Panel::lines(
                "Progress of the running job",
                "percentunit",
                "Share of the frames that were read for processing. A flat line while a job is running: the job is in another phase, or hangs.",
            )
            .size(12, 8)
            .up_to(1.0)
            .query(CONTAINER, &promql("max EACH (glassbox_facefusion_progress_ratio{CONTAINERS})")),
        ],
    }
}

/// A graph of the median, P95 and P99.
fn quantiles(title: &str, description: &str, histogram: &Histogram<'_>) -> Panel {
    let parts = [("median", "0.5"), ("P95", "0.95"), ("P99", "0.99")];
    parts.into_iter().fold(Panel::lines(title, "s", description).size(8, 8), |panel, (name, part)| {
        panel.query(&format!("{{{{container}}}} {{{{pod}}}} {name}"), &quantile(part, histogram, LABELS))
    })
}
