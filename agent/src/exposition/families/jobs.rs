//! Jobs of Gradio servers.
//!
//! An application can have hundreds of functions, most of which are short event handlers of its page. Only functions
//! with a job of at least a second have a histogram; sums exist for all.

use glassbox_ebpf::histogram::{MIN_EXPONENT, PER_OCTAVE};

use crate::{
    exposition::{
        family::Family,
        sample::{Emit, Resolution},
    },
    snapshot::{
        ContainerRow,
        jobs::{JobCounters, Outcome},
        scheduler::Histogram,
    },
};

const SOURCE: &str =
    "messages of Gradio 4 and 5 to the clients of the container, read by the requests programs";

/// The first bucket of durations above 1 s.
const ABOVE_A_SECOND: usize = MIN_EXPONENT.unsigned_abs() as usize * PER_OCTAVE + 1;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("glassbox_container_jobs_total")
        .help(
            "Gradio jobs that have ended, by function and outcome. `abandoned`: the client was gone before \
             the server reported an end. A function that handles its own failure ends with `success`. `fn` is \
             the configured name (`requests.functions`), the number of the function, or `/NAME` for API calls.",
        )
        .source(SOURCE)
        .labels(&["fn", "outcome"])
        .container(ended),
    Family::histogram("glassbox_container_job_duration_seconds")
        .help(
            "Time from the request for a Gradio job to its end, in seconds, for jobs that ended with success \
             or an error. Only functions of which a job has taken more than a second.",
        )
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| {
            each(row, |name, counters| {
                if is_long(&counters.durations) {
                    emit.with(&[name]).histogram(&counters.durations, Resolution::Long);
                }
            });
        }),
    Family::counter("glassbox_container_jobs_started_total")
        .help("Gradio jobs that have left the queue. Does not include API calls, whose start is not reported.")
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| each(row, |name, counters| emit.with(&[name]).count(counters.started))),
    Family::counter("glassbox_container_job_queue_seconds_total")
        .help(
            "Time that Gradio jobs spent in the queue, in seconds, counted when they start. Includes up to \
             0.1 s until the server reports the start.",
        )
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| {
            each(row, |name, counters| emit.with(&[name]).nanoseconds(counters.queue_waits.sum_ns));
        }),
    Family::counter("glassbox_container_job_run_seconds_total")
        .help(
            "Time from the start of Gradio jobs to their end, in seconds, for jobs that ended with success or an \
             error.",
        )
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| each(row, |name, counters| emit.with(&[name]).nanoseconds(counters.runs.sum_ns))),
    Family::counter("glassbox_container_jobs_with_progress_total")
        .help("Gradio jobs that have reported progress or a partial result.")
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| {
            progressed(row, |name, progress| emit.with(&[name]).count(progress.count()));
        }),
    Family::counter("glassbox_container_job_first_progress_seconds_total")
        .help(
            "Time from the request for a Gradio job to its first progress or partial result, in seconds, over the \
             jobs in glassbox_container_jobs_with_progress_total.",
        )
        .source(SOURCE)
        .labels(&["fn"])
        .container(|row, emit| {
            progressed(row, |name, progress| emit.with(&[name]).nanoseconds(progress.sum_ns));
        }),
    Family::gauge("glassbox_container_jobs_in_flight")
        .help("Gradio jobs that have not ended. `unknown`: API calls, which are queued or running.")
        .source(SOURCE)
        .labels(&["state"])
        .container(|row, emit| {
            let Some(jobs) = &row.jobs else { return };
            emit.with(&["queued"]).count(jobs.in_flight.queued);
            emit.with(&["running"]).count(jobs.in_flight.running);
            emit.with(&["unknown"]).count(Some(jobs.in_flight.unknown).filter(|unknown| *unknown > 0));
        }),
    Family::gauge("glassbox_container_job_queue_size")
        .help("Length of the queue that the Gradio server last reported, while a job is queued.")
        .source(SOURCE)
        .container(|row, emit| emit.count(row.jobs.as_ref().and_then(|jobs| jobs.queue_size))),
    Family::counter("glassbox_container_job_events_ignored_total")
        .help(
            "Gradio messages, requests and jobs that count nowhere else. `unknown_job`, `ended_job`: messages about jobs \
             whose request was not seen, or that had ended. `unknown_message`, `unreadable`: messages that were not \
             understood. `refused`: requests that the server refused, for example because the queue was full. \
             `evicted`: unfinished jobs that were dropped because there were too many.",
        )
        .source(SOURCE)
        .labels(&["reason"])
        .container(|row, emit| {
            let Some(jobs) = &row.jobs else { return };
            for (reason, count) in jobs.ignored.by_reason().into_iter().filter(|(_, count)| *count > 0) {
                emit.with(&[reason]).count(count);
            }
        }),
];

fn each(row: &ContainerRow, mut emit: impl FnMut(&str, &JobCounters)) {
    for function in row.jobs.iter().flat_map(|jobs| &jobs.functions) {
        emit(&function.name, &function.counters);
    }
}

/// Rare outcomes have a series once they occur.
fn ended(row: &ContainerRow, emit: &mut Emit<'_>) {
    each(row, |name, counters| {
        for (outcome, count) in Outcome::ALL.into_iter().zip(counters.ended) {
            if count > 0 || matches!(outcome, Outcome::Success | Outcome::Error) {
                emit.with(&[name, outcome.as_str()]).count(count);
            }
        }
    });
}

fn progressed(row: &ContainerRow, mut emit: impl FnMut(&str, &Histogram)) {
    each(row, |name, counters| {
        if counters.first_progress.count() > 0 {
            emit(name, &counters.first_progress);
        }
    });
}

fn is_long(durations: &Histogram) -> bool {
    durations.buckets[ABOVE_A_SECOND..].iter().any(|count| *count > 0)
}
