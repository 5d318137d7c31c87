//! FaceFusion's jobs.

use std::time::Duration;

use crate::{
    exposition::{family::Family, sample::Resolution},
    snapshot::{
        ContainerRow,
        facefusion::{FailureReason, PROCESSORS, Phase, Running},
    },
};

const JOB_FILES: &str = "FaceFusion's job files, at each change";
const PROGRAMS: &str =
    "arguments and bytes of ffmpeg and other programs in /proc, ten times a second while a job is running";

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("glassbox_facefusion_jobs_total")
        .help(
            "FaceFusion jobs that ended, by outcome: `completed`, `failed`, or `abandoned` if a job stopped with an \
             exception or with its process. `reason` is why a job failed or was abandoned, or `none`. \
             docs/facefusion.md explains how reasons are found.",
        )
        .source(JOB_FILES)
        .labels(&["outcome", "reason"])
        .container(|row, emit| {
            let Some(counters) = row.facefusion.as_ref().map(|facefusion| &facefusion.counters) else { return };
            emit.with(&["completed", "none"]).count(counters.completed);
            for reason in FailureReason::ALL {
                emit.with(&["failed", reason.name()]).count(counters.failed[reason as usize]);
            }
            for reason in [FailureReason::GpuMemory, FailureReason::ProcessingError] {
                emit.with(&["abandoned", reason.name()]).count(counters.abandoned[reason as usize]);
            }
            emit.with(&["abandoned", "none"]).count(counters.abandoned[FailureReason::Unknown as usize]);
        }),
    Family::gauge("glassbox_facefusion_unfinished_jobs")
        .help("FaceFusion jobs that have not ended, by status: `drafted` (not submitted), `queued`, `running`, or `stopped` (by an exception or with its process, until it runs again).")
        .source(JOB_FILES)
        .labels(&["status"])
        .container(|row, emit| {
            let Some(jobs) = &row.facefusion else { return };
            emit.each_count(&[
                ("drafted", jobs.drafted),
                ("queued", jobs.queued),
                ("running", jobs.running),
                ("stopped", jobs.stopped),
            ]);
        }),
    Family::histogram("glassbox_facefusion_job_queue_wait_seconds")
        .help("Time from the submission of a FaceFusion job to the start of its first step, in seconds.")
        .source(JOB_FILES)
        .container(|row, emit| {
            if let Some(jobs) = &row.facefusion {
                emit.histogram(&jobs.counters.queue_waits, Resolution::Long);
            }
        }),
    Family::histogram("glassbox_facefusion_job_duration_seconds")
        .help("Time from the start of the first step of a completed or failed FaceFusion job to its end, in seconds.")
        .source(JOB_FILES)
        .container(|row, emit| {
            if let Some(jobs) = &row.facefusion {
                emit.histogram(&jobs.counters.durations, Resolution::Long);
            }
        }),
    Family::counter("glassbox_facefusion_steps_total")
        .help("Steps of FaceFusion jobs that ended, by status.")
        .source(JOB_FILES)
        .labels(&["status"])
        .container(|row, emit| {
            let Some(jobs) = &row.facefusion else { return };
            let counters = &jobs.counters;
            emit.each_count(&[("completed", counters.steps_completed), ("failed", counters.steps_failed)]);
        }),
    Family::counter("glassbox_facefusion_retries_total")
        .help("Failed FaceFusion jobs that were submitted again.")
        .source(JOB_FILES)
        .container(|row, emit| {
            emit.count(row.facefusion.as_ref().map(|facefusion| facefusion.counters.retries));
        }),
    Family::counter("glassbox_facefusion_processors_total")
        .help(
            "Steps of FaceFusion jobs that started, by processor. A step may have several. Only processors that were \
             used have a series.",
        )
        .source(JOB_FILES)
        .labels(&["processor"])
        .container(|row, emit| {
            let Some(jobs) = &row.facefusion else { return };
            for (name, count) in PROCESSORS.iter().zip(jobs.counters.processors).filter(|(_, count)| *count > 0) {
                emit.with(&[name]).count(count);
            }
        }),
    Family::counter("glassbox_facefusion_phase_seconds_total")
        .help(
            "Time of running FaceFusion jobs by phase, in seconds. `other` includes loading models, processing images, \
             and up to version 3.7 the content filter.",
        )
        .source(PROGRAMS)
        .labels(&["phase"])
        .container(|row, emit| {
            let Some(jobs) = &row.facefusion else { return };
            for phase in Phase::ALL {
                emit.with(&[phase.name()]).nanoseconds(jobs.counters.phases_ns[phase as usize]);
            }
        }),
    Family::counter("glassbox_facefusion_frames_total")
        .help("Frames of videos that FaceFusion has processed. The last tenth of a second of a video may be missing.")
        .source(PROGRAMS)
        .container(|row, emit| {
            emit.count(row.facefusion.as_ref().map(|facefusion| facefusion.counters.frames));
        }),
    Family::gauge("glassbox_facefusion_frames_per_second")
        .help("Speed of FaceFusion in frames per second, over the last five seconds. Absent outside of the phase `process`.")
        .source(PROGRAMS)
        .unit("frames per second")
        .container(|row, emit| {
            emit.real(running(row).and_then(|running| running.frames_per_second));
        }),
    Family::gauge("glassbox_facefusion_progress_ratio")
        .help("Fraction of the frames of the video that FaceFusion has read for processing. Absent if the total is unknown.")
        .source(PROGRAMS)
        .container(|row, emit| {
            emit.real(running(row).and_then(|running| running.progress_ratio));
        }),
    Family::gauge("glassbox_facefusion_running_seconds")
        .help("Time since the running FaceFusion job started, in seconds. Absent if no job is running.")
        .source(JOB_FILES)
        .container(|row, emit| {
            emit.time(running(row).map(|running| running.elapsed).filter(|elapsed| *elapsed > Duration::ZERO));
        }),
    Family::gauge("glassbox_facefusion_running_info")
        .help(
            "1 for the running FaceFusion job: its phase, and the resolution and the encoder of the video that it writes, \
             `unknown` before it does.",
        )
        .source(PROGRAMS)
        .labels(&["phase", "resolution", "encoder"])
        .container(|row, emit| {
            let Some(running) = running(row) else { return };
            let video = running.video;
            let resolution = video.map_or("unknown", |video| video.resolution.name());
            let encoder = video.map_or("unknown", |video| video.encoder.name());
            emit.with(&[running.phase.name(), resolution, encoder]).count(1);
        }),
    Family::counter("glassbox_facefusion_job_files_ignored_total")
        .help("Job files, or changes of them, that were ignored, by reason.")
        .source(JOB_FILES)
        .labels(&["reason"])
        .container(|row, emit| {
            if let Some(jobs) = &row.facefusion {
                emit.each_count(&jobs.counters.ignored.by_reason());
            }
        }),
];

fn running(row: &ContainerRow) -> Option<Running> {
    row.facefusion.as_ref()?.current
}
