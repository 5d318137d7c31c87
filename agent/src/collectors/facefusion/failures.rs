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

use std::time::{Duration, Instant};

use super::{
    jobs::Jobs,
    phases::Phases,
    reading::{Noted, Signs, Subject, Undecided},
};
use crate::snapshot::facefusion::{ByReason, FaceFusionCounters, FailureReason};

/// The reason is decided after this time even without ticks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of undecided reasons.
const UNDECIDED_MAX: usize = 64;
/// Within this number of ticks, what a step has done is counted.
const TICKS: u64 = 2;

/// How a job ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its file was moved to `failed`.
    Failed,
    /// It stopped with an exception, and its process lives on.
    Exception,
    /// Its process has ended.
    Exit,
}

impl End {
    /// The counts in which such a job is counted.
    fn select<'a>(self, failed: &'a mut ByReason, abandoned: &'a mut ByReason) -> &'a mut ByReason {
        if self == Self::Failed { failed } else { abandoned }
    }

    fn count(self, reason: FailureReason, counters: &mut FaceFusionCounters) {
        self.select(&mut counters.failed, &mut counters.abandoned)[reason as usize] += 1;
    }
}

/// The failures of one container.
#[derive(Debug)]
pub(super) struct Failures {
    /// The signs before the current step, or when the container was found if a job was running already. `None` if they are not
    /// counted yet.
    before: Option<Signs>,
    /// Those before the step that started before it.
    before_last: Option<Signs>,
    /// Number of ticks when the step started.
    started: u64,
    /// Number of ticks when a job was last running.
    ran: Option<u64>,
    undecided: Vec<Failure>,
}

#[derive(Debug)]
struct Failure {
    end: End,
    at: Instant,
    ticks: u64,
    before: Option<Signs>,
    was_only_filtered: bool,
    was_processed: bool,
    has_readers: bool,
}

impl Failures {
    pub(super) fn new(subject: &Subject) -> Self {
        let Noted { signs, ticks, .. } = subject.noted();
        Self { before: Some(signs), before_last: None, started: ticks, ran: None, undecided: Vec::new() }
    }

    /// A step has started.
    pub(super) fn step_started(&mut self, subject: &Subject) {
        let Noted { signs, ticks, .. } = subject.noted();
        let follows = self.ran.is_some_and(|ran| ticks < ran + TICKS);
        self.before_last = self.before;
        (self.before, self.started) = ((!follows).then_some(signs), ticks);
    }

    /// Called while a job is running.
    pub(super) fn note_running(&mut self, subject: &Subject) {
        let Noted { signs, ticks, .. } = subject.noted();
        self.ran = Some(ticks);
        if self.before.is_none() && ticks > self.started {
            self.before = Some(signs);
        }
    }

    /// Allocations of GPU memory that had been refused before the current step.
    pub(super) fn refused_before(&self) -> Option<u64> {
        self.before.map(|signs| signs.refused)
    }

    /// A job has failed or stopped.
    pub(super) fn add(
        &mut self,
        end: End,
        subject: &Subject,
        jobs: &mut Jobs,
        phases: Option<&Phases>,
        now: Instant,
    ) {
        if self.undecided.len() >= UNDECIDED_MAX {
            end.count(FailureReason::Unknown, &mut jobs.counters);
            return;
        }
        self.undecided.push(Failure {
            end,
            at: now,
            ticks: subject.noted().ticks,
            before: self.before,
            was_only_filtered: phases.is_some_and(Phases::was_only_filtered),
            was_processed: phases.is_some_and(Phases::was_processed),
            has_readers: phases.is_some_and(Phases::has_readers),
        });
    }

    /// A job has stopped with an exception before the current step started, which is that of another job.
    pub(super) fn add_before_this_step(&mut self, subject: &Subject, jobs: &mut Jobs, now: Instant) {
        let current = std::mem::replace(&mut self.before, self.before_last);
        self.add(End::Exception, subject, jobs, None, now);
        self.before = current;
    }

    /// Failures that are not counted yet, by the reason as far as it is known.
    pub(super) fn undecided(&self, subject: &Subject) -> Undecided {
        let Noted { signs, .. } = subject.noted();
        let mut undecided = Undecided::default();
        for failure in &self.undecided {
            let Undecided { failed, abandoned } = &mut undecided;
            failure.end.select(failed, abandoned)[failure.reason(signs) as usize] += 1;
        }
        undecided
    }

    /// Counts the failures whose reason can be decided now.
    pub(super) fn decide(&mut self, subject: &Subject, jobs: &mut Jobs, now: Instant) {
        let Noted { signs, ticks, .. } = subject.noted();
        self.undecided.retain(|failure| {
            let is_due =
                ticks >= failure.ticks + TICKS || now.saturating_duration_since(failure.at) >= PATIENCE;
            if is_due {
                failure.end.count(failure.reason(signs), &mut jobs.counters);
            }
            !is_due
        });
    }
}

impl Failure {
    fn reason(&self, now: Signs) -> FailureReason {
        let has_grown =
            |count: fn(Signs) -> u64| self.before.is_some_and(|before| count(now) > count(before));
        let has_errors = has_grown(|signs| signs.errors.unwrap_or(0));
        let is_killed = !self.has_readers && has_grown(|signs| signs.signals);
        let is_uncounted = now.errors.is_none() && self.was_processed;
        match self.end {
            _ if has_grown(|signs| signs.refused) => FailureReason::GpuMemory,
            End::Exception if has_errors => FailureReason::ProcessingError,
            End::Failed if has_errors || is_killed || is_uncounted => FailureReason::ProcessingError,
            End::Failed if self.was_only_filtered => FailureReason::RefusedByContentFilter,
            _ => FailureReason::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
