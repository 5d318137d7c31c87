//! Why jobs failed.
//!
//! The tick counts allocations of GPU memory that the driver refuses, and processes of ffmpeg that fail. A job may fail just
//! before the tick that counts them. The reason is therefore decided after the next tick but one.
//!
//! FaceFusion also moves a job to `failed` if its user stops it. Then no ffmpeg has failed, unless the stop ended one. From 3.8
//! on, FaceFusion kills the ffmpegs that read the video, so that a signal is no sign of a failure.

use std::time::{Duration, Instant};

use super::{
    jobs::Jobs,
    phases::Phases,
    reading::{Signs, Subject},
};
use crate::snapshot::facefusion::FailureReason;

/// The reason is decided after this time even without ticks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of undecided reasons.
const UNDECIDED_MAX: usize = 64;

/// The failures of one container.
#[derive(Debug)]
pub(super) struct Failures {
    /// The signs when the running job started, or when the container was found if it was running already.
    before: Signs,
    undecided: Vec<Undecided>,
}

#[derive(Debug)]
struct Undecided {
    at: Instant,
    ticks: u64,
    before: Signs,
    was_only_filtered: bool,
    was_processed: bool,
    has_readers: bool,
}

impl Failures {
    pub(super) fn new(subject: &Subject) -> Self {
        Self { before: subject.signs().0, undecided: Vec::new() }
    }

    /// A job has started, and no other was running.
    pub(super) fn job_started(&mut self, subject: &Subject) {
        self.before = subject.signs().0;
    }

    /// A job has failed.
    pub(super) fn add(&mut self, subject: &Subject, jobs: &mut Jobs, phases: Option<&Phases>, now: Instant) {
        if self.undecided.len() >= UNDECIDED_MAX {
            jobs.failed(FailureReason::Unknown);
            return;
        }
        self.undecided.push(Undecided {
            at: now,
            ticks: subject.signs().1,
            before: self.before,
            was_only_filtered: phases.is_some_and(Phases::was_only_filtered),
            was_processed: phases.is_some_and(Phases::was_processed),
            has_readers: phases.is_some_and(Phases::has_readers),
        });
    }

    /// Failures that are not counted yet, by the reason as far as it is known.
    pub(super) fn undecided(&self, subject: &Subject) -> [u64; FailureReason::ALL.len()] {
        let (signs, _) = subject.signs();
        let mut undecided = [0; FailureReason::ALL.len()];
        self.undecided.iter().for_each(|failure| undecided[failure.reason(signs) as usize] += 1);
        undecided
    }

    /// Counts the failures whose reason can be decided now.
    pub(super) fn decide(&mut self, subject: &Subject, jobs: &mut Jobs, now: Instant) {
        let (signs, ticks) = subject.signs();
        self.undecided.retain(|failure| {
            let is_due = ticks >= failure.ticks + 2 || now.saturating_duration_since(failure.at) >= PATIENCE;
            if is_due {
                jobs.failed(failure.reason(signs));
            }
            !is_due
        });
    }
}

impl Undecided {
    fn reason(&self, now: Signs) -> FailureReason {
        let has_failed = now.errors.is_some_and(|errors| errors > self.before.errors.unwrap_or(0))
            || (!self.has_readers && now.signals > self.before.signals);
        if now.refused > self.before.refused {
            FailureReason::GpuMemory
        } else if has_failed || (now.errors.is_none() && self.was_processed) {
            FailureReason::ProcessingError
        } else if self.was_only_filtered {
            FailureReason::RefusedByContentFilter
        } else {
            FailureReason::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_is_counted_after_the_failure_is_its_reason() {
        let subject = Subject::new("a".into(), "/a".into(), false);
        let refused = |refused| subject.note(Signs { refused, ..Signs::default() }, None);
        refused(3);
        let (mut failures, mut jobs, now) = (Failures::new(&subject), Jobs::default(), Instant::now());
        failures.add(&subject, &mut jobs, None, now);
        failures.decide(&subject, &mut jobs, now);
        refused(4);
        failures.decide(&subject, &mut jobs, now);
        assert_eq!(jobs.counters.failed, [0; 4], "not decided yet");
        assert_eq!(failures.undecided(&subject)[FailureReason::GpuMemory as usize], 1);
        refused(4);
        failures.decide(&subject, &mut jobs, now);
        assert_eq!(jobs.counters.failed[FailureReason::GpuMemory as usize], 1);
        // The next job fails without a refusal of its own.
        failures.job_started(&subject);
        failures.add(&subject, &mut jobs, None, now);
        failures.decide(&subject, &mut jobs, now + PATIENCE);
        assert_eq!(jobs.counters.failed, [0, 1, 0, 1]);
    }

    #[test]
    fn too_many_failures_at_a_time_have_no_reason() {
        let subject = Subject::new("a".into(), "/a".into(), false);
        let (mut failures, mut jobs, now) = (Failures::new(&subject), Jobs::default(), Instant::now());
        (0..=UNDECIDED_MAX).for_each(|_| failures.add(&subject, &mut jobs, None, now));
        assert_eq!(jobs.counters.failed, [0, 0, 0, 1]);
        failures.decide(&subject, &mut jobs, now + PATIENCE);
        assert_eq!(jobs.counters.failed.iter().sum::<u64>(), UNDECIDED_MAX as u64 + 1);
    }

    #[test]
    fn a_job_whose_programs_succeeded_was_stopped_by_its_user() {
        let of = |before, after, signals, has_readers| {
            let undecided = Undecided {
                at: Instant::now(),
                ticks: 0,
                before: Signs { errors: before, ..Signs::default() },
                was_only_filtered: false,
                was_processed: true,
                has_readers,
            };
            undecided.reason(Signs { refused: 0, errors: after, signals })
        };
        assert_eq!(of(Some(3), Some(3), 0, false), FailureReason::Unknown);
        assert_eq!(of(Some(3), Some(4), 0, true), FailureReason::ProcessingError);
        assert_eq!(of(None, Some(1), 0, false), FailureReason::ProcessingError);
        assert_eq!(of(None, None, 0, false), FailureReason::ProcessingError, "they are not counted");
        assert_eq!(of(Some(3), Some(3), 1, false), FailureReason::ProcessingError);
        assert_eq!(of(Some(3), Some(3), 1, true), FailureReason::Unknown, "a reader");
    }
}
