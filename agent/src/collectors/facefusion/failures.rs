//! Why jobs failed.
//!
//! The tick counts allocations of GPU memory that the driver refuses, and a job may fail just before the tick that counts the
//! refusal. The reason is therefore decided after the next tick but one.

use std::time::{Duration, Instant};

use super::{jobs::Jobs, phases::Phases, reading::Subject};
use crate::snapshot::facefusion::FailureReason;

/// The reason is decided after this time even without ticks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of undecided reasons.
const UNDECIDED_MAX: usize = 64;

/// The failures of one container.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Refused allocations when the running job started.
    refused_before: u64,
    undecided: Vec<Undecided>,
}

#[derive(Debug)]
struct Undecided {
    at: Instant,
    ticks: u64,
    refused_before: u64,
    was_only_filtered: bool,
    was_processed: bool,
}

impl Failures {
    /// A job has started, and no other was running.
    pub(super) fn job_started(&mut self, subject: &Subject) {
        self.refused_before = subject.refused().0;
    }

    /// A job has failed.
    pub(super) fn add(&mut self, subject: &Subject, phases: Option<&Phases>, now: Instant) {
        if self.undecided.len() < UNDECIDED_MAX {
            self.undecided.push(Undecided {
                at: now,
                ticks: subject.refused().1,
                refused_before: self.refused_before,
                was_only_filtered: phases.is_some_and(Phases::was_only_filtered),
                was_processed: phases.is_some_and(Phases::was_processed),
            });
        }
    }

    /// Counts the failures whose reason can be decided now.
    pub(super) fn decide(&mut self, subject: &Subject, jobs: &mut Jobs, now: Instant) {
        let (refused, ticks) = subject.refused();
        self.undecided.retain(|failure| {
            let is_due = ticks >= failure.ticks + 2 || now.saturating_duration_since(failure.at) >= PATIENCE;
            if is_due {
                jobs.failed(failure.reason(refused));
            }
            !is_due
        });
    }
}

impl Undecided {
    const fn reason(&self, refused: u64) -> FailureReason {
        if refused > self.refused_before {
            FailureReason::GpuMemory
        } else if self.was_only_filtered {
            FailureReason::RefusedByContentFilter
        } else if self.was_processed {
            FailureReason::ProcessingError
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
        let subject = Subject::new(1, "a".into(), "/a".into());
        let (mut failures, mut jobs, now) = (Failures::default(), Jobs::default(), Instant::now());
        subject.note_refused(3);
        failures.job_started(&subject);
        failures.add(&subject, None, now);
        failures.decide(&subject, &mut jobs, now);
        subject.note_refused(4);
        failures.decide(&subject, &mut jobs, now);
        assert_eq!(jobs.counters.failed, [0; 4], "not decided yet");
        subject.note_refused(4);
        failures.decide(&subject, &mut jobs, now);
        assert_eq!(jobs.counters.failed[FailureReason::GpuMemory as usize], 1);
        // The next job fails without a refusal of its own.
        failures.job_started(&subject);
        failures.add(&subject, None, now);
        failures.decide(&subject, &mut jobs, now + PATIENCE);
        assert_eq!(jobs.counters.failed, [0, 1, 0, 1]);
    }
}
