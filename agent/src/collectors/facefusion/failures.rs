//! Why jobs failed or were abandoned.
//!
//! The tick counts allocations of GPU memory that the driver refuses, and processes of ffmpeg that fail. A job may fail just
//! before the tick that counts them. The reason is therefore decided after the next tick but one. For the same reason, what
//! counts for a step that follows another one begins with the next tick: FaceFusion often completes a step although its last
//! ffmpeg, which adds the audio, has failed.
//!
//! FaceFusion also moves a job to `failed` if its user stops it. Then no ffmpeg has failed, unless the stop ended one. From 3.8
//! on, FaceFusion kills the ffmpegs that read the video, so that a signal is no sign of a failure.
//!
//! A job that stops with an exception stays in the queue. If its process ends with it, ffmpegs may fail only because nothing
//! reads their frames any more.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    jobs::{Jobs, Key},
    phases::Phases,
    subject::{Noted, Signs, Subject},
};
use crate::snapshot::facefusion::{FaceFusionCounters, FailureReason};

/// The reason is decided after this time even without ticks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of undecided reasons.
const UNDECIDED_MAX: usize = 64;
/// Within this number of ticks, what a step has done is counted.
const TICKS: u64 = 2;

/// How a job ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// FaceFusion has moved its file to `failed`.
    Failed,
    /// It stopped with an exception, and its process lives on.
    Exception,
    /// Its process has ended.
    Exit,
}

impl Cause {
    fn count(self, reason: FailureReason, counters: &mut FaceFusionCounters) {
        let counts = if self == Self::Failed { &mut counters.failed } else { &mut counters.abandoned };
        counts[reason as usize] = counts[reason as usize].saturating_add(1);
    }
}

/// The failures of one container.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    /// The current steps of the running jobs.
    steps: HashMap<Key, Step>,
    /// Number of ticks when a job was last running.
    ran: Option<u64>,
    undecided: Vec<Failure>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// Number of ticks when it started.
    started: u64,
    /// The signs before it; `None` if they are not counted yet.
    before: Option<Signs>,
}

#[derive(Clone, Debug)]
struct Failure {
    cause: Cause,
    at: Instant,
    ticks: u64,
    before: Option<Signs>,
    was_only_filtered: bool,
    was_processed: bool,
    has_readers: bool,
}

impl Failures {
    /// A step of this job has started.
    pub(super) fn step_started(&mut self, key: Key, subject: &Subject) {
        let Noted { signs, ticks, .. } = subject.noted();
        let follows = self.ran.is_some_and(|ran| ticks < ran + TICKS);
        self.steps.insert(key, Step { started: ticks, before: (!follows).then_some(signs) });
    }

    /// Called often, with all running jobs. Those that are new to it were running when they were found.
    pub(super) fn follow(&mut self, running: &HashSet<Key>, subject: &Subject) {
        let Noted { signs, ticks, .. } = subject.noted();
        self.steps.retain(|key, _| running.contains(key));
        for key in running {
            let step = self.steps.entry(*key).or_insert(Step { started: ticks, before: Some(signs) });
            if ticks > step.started {
                step.before.get_or_insert(signs);
            }
        }
        if !running.is_empty() {
            self.ran = Some(ticks);
        }
    }

    /// A job has failed or stopped.
    pub(super) fn add(
        &mut self,
        cause: Cause,
        key: Key,
        subject: &Subject,
        jobs: &mut Jobs,
        phases: Option<&Phases>,
        now: Instant,
    ) {
        let before = self.steps.remove(&key).and_then(|step| step.before);
        if self.undecided.len() >= UNDECIDED_MAX {
            cause.count(FailureReason::Unknown, &mut jobs.counters);
            return;
        }
        self.undecided.push(Failure {
            cause,
            at: now,
            ticks: subject.noted().ticks,
            before,
            was_only_filtered: phases.is_some_and(Phases::was_only_filtered),
            was_processed: phases.is_some_and(Phases::was_processed),
            has_readers: phases.is_some_and(Phases::has_readers),
        });
    }

    /// True if no reason is to be decided.
    pub(super) const fn are_decided(&self) -> bool {
        self.undecided.is_empty()
    }

    /// Counts the failures whose reason can be decided now.
    pub(super) fn decide(&mut self, subject: &Subject, jobs: &mut Jobs, now: Instant) {
        let Noted { signs, ticks, .. } = subject.noted();
        self.undecided.retain(|failure| {
            let is_due =
                ticks >= failure.ticks + TICKS || now.saturating_duration_since(failure.at) >= PATIENCE;
            if is_due {
                failure.cause.count(failure.reason(signs), &mut jobs.counters);
            }
            !is_due
        });
    }

    /// Counts all failures of a container that has ended with this number of running jobs. The signs are its last ones.
    pub(super) fn decide_at_end(&self, running: u64, signs: Signs, counters: &mut FaceFusionCounters) {
        for failure in &self.undecided {
            failure.cause.count(failure.reason(signs), counters);
        }
        let before = self.steps.values().map(|step| step.before).chain(std::iter::repeat(None));
        for before in before.take(usize::try_from(running).unwrap_or(usize::MAX)) {
            Cause::Exit.count(grown_refusals(before, signs).unwrap_or(FailureReason::Unknown), counters);
        }
    }
}

/// The reason if the driver has refused GPU memory.
fn grown_refusals(before: Option<Signs>, now: Signs) -> Option<FailureReason> {
    before.filter(|before| now.refused > before.refused).map(|_| FailureReason::GpuMemory)
}

impl Failure {
    fn reason(&self, now: Signs) -> FailureReason {
        if let Some(reason) = grown_refusals(self.before, now) {
            return reason;
        }
        let has_grown =
            |count: fn(Signs) -> u64| self.before.is_some_and(|before| count(now) > count(before));
        let has_errors = has_grown(|signs| signs.errors.unwrap_or(0));
        let is_killed = !self.has_readers && has_grown(|signs| signs.signals);
        let is_uncounted = now.errors.is_none() && self.was_processed;
        match self.cause {
            Cause::Exception if has_errors => FailureReason::ProcessingError,
            Cause::Failed if has_errors || is_killed || is_uncounted => FailureReason::ProcessingError,
            Cause::Failed if self.was_only_filtered => FailureReason::RefusedByContentFilter,
            _ => FailureReason::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
