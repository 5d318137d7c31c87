//! Whether a container is busy at a tick, and how many jobs it has done. Costs a few additions per tick; the counts of
//! jobs, 50 buckets per histogram, are summed only when a busy period begins or ends.

use std::time::{Duration, Instant};

use glassbox_ebpf::histogram;

use crate::{
    analysis::work,
    snapshot::{ContainerRow, requests::duration, scheduler::Histogram},
};

/// Minimum utilization of a GPU that counts as busy, summed over GPUs.
const BUSY_GPU_RATIO: f64 = 0.05;
/// Minimum use of CPUs, in cores, that counts as busy if no work is counted. Pages with timers need less.
const BUSY_CPU_CORES: f64 = 0.5;
/// Work that takes longer is a job, in ns. Polls of a page and health checks are shorter.
const JOB_MIN_NS: u64 = 1_000_000_000;

/// What a container does at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It has no work.
    Quiet,
    /// Work is in flight.
    InFlight,
    /// It uses a GPU or, if no work is counted, CPUs.
    Computing,
}

/// The CPU time at the last tick.
#[derive(Debug, Default)]
pub(super) struct CpuTime(Option<(Instant, u64)>);

impl CpuTime {
    /// What the container does. `None` if nothing shows when it has work: none is counted, and it uses no GPU.
    pub(super) fn observe(&mut self, row: &ContainerRow, now: Instant) -> Option<Activity> {
        let cores = self.cores(row, now);
        let in_flight = in_flight(row);
        if in_flight.is_none() && row.gpus.is_empty() && row.nvidia_driver.is_none() {
            return None;
        }
        let gpu_ratio: f64 = row.gpus.iter().filter_map(|gpu| gpu.utilization_ratio).sum();
        let computes = in_flight.is_none() && cores >= BUSY_CPU_CORES;
        Some(match in_flight {
            _ if gpu_ratio >= BUSY_GPU_RATIO || computes => Activity::Computing,
            Some(1..) => Activity::InFlight,
            _ => Activity::Quiet,
        })
    }

    /// Cores used since the last tick; 0 if that is not known.
    fn cores(&mut self, row: &ContainerRow, now: Instant) -> f64 {
        let read = work::cpu_ns(row).map(|used_ns| (now, used_ns));
        let Some(((now, used_ns), (then, before_ns))) = read.zip(std::mem::replace(&mut self.0, read)) else {
            return 0.0;
        };
        let seconds = now.duration_since(then).as_secs_f64();
        let used = Duration::from_nanos(used_ns.saturating_sub(before_ns)).as_secs_f64();
        if seconds > 0.0 { used / seconds } else { 0.0 }
    }
}

/// Requests, Gradio jobs and running FaceFusion jobs in flight. `None` if none of them is counted. A FaceFusion job of the page
/// is also a Gradio job.
fn in_flight(row: &ContainerRow) -> Option<u64> {
    let served = row.work_in_flight().or_else(|| row.jobs.as_ref().map(|jobs| jobs.in_flight.total()));
    served.max(row.facefusion.as_ref().map(|facefusion| facefusion.running))
}

/// Whether at most one request or job runs, as far as they are counted; jobs in the queue do not run.
pub(super) fn is_nearly_quiet(row: &ContainerRow) -> bool {
    let queued = row.jobs.as_ref().map_or(0, |jobs| jobs.in_flight.queued);
    in_flight(row).is_some_and(|in_flight| in_flight.saturating_sub(queued) <= 1)
}

/// Jobs that have ended and took longer than [`JOB_MIN_NS`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// Requests and Gradio jobs.
    served: u64,
    facefusion: u64,
}

impl Ended {
    /// Jobs that have ended since an earlier reading. A FaceFusion job of the page is also a Gradio job.
    pub(super) fn since(self, earlier: Self) -> u64 {
        let served = self.served.saturating_sub(earlier.served);
        served.max(self.facefusion.saturating_sub(earlier.facefusion))
    }
}

/// The jobs that have ended so far.
pub(super) fn ended_jobs(row: &ContainerRow) -> Ended {
    let long = |histogram: &Histogram| {
        histogram.buckets[histogram::bucket(JOB_MIN_NS) + 1..]
            .iter()
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    let requests =
        row.requests.as_ref().map_or(0, |requests| long(&requests.measures.durations[duration::RESPONSE]));
    let functions = row.jobs.iter().flat_map(|jobs| &jobs.functions);
    let served =
        functions.map(|function| long(&function.counters.durations)).fold(requests, u64::saturating_add);
    let facefusion = row.facefusion.as_ref().map_or(0, |facefusion| long(&facefusion.counters.durations));
    Ended { served, facefusion }
}
