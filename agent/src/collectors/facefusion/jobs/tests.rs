use super::*;
use crate::{collectors::facefusion::file::Step, snapshot::facefusion::PROCESSORS};

const JOB: Key = 7;

struct Store {
    jobs: Jobs,
    begun: Instant,
}

impl Store {
    fn new() -> Self {
        Self { jobs: Jobs::default(), begun: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begun + Duration::from_secs(seconds)
    }

    fn appeared(&mut self, place: Place, seconds: u64) -> Option<Ended> {
        let now = self.at(seconds);
        self.jobs.appeared(place, JOB, now)
    }

    fn moved(&mut self, from: Place, to: Place, seconds: u64) -> Option<Ended> {
        let now = self.at(seconds);
        self.jobs.vanished(from, JOB, now);
        self.appeared(to, seconds)
    }

    fn read(&mut self, steps: &[StepStatus], seconds: u64) {
        let mut processors = [false; PROCESSORS.len()];
        processors[7] = true;
        let steps = steps.iter().map(|&status| Step { status, processors }).collect();
        let now = self.at(seconds);
        self.jobs.read(JOB, &JobFile { steps, modified: None }, Seen::Change, now);
    }

    /// A job that waited for 3 s and has run for 5 s.
    fn running() -> Self {
        let mut store = Self::new();
        store.appeared(Place::Drafted, 0);
        store.moved(Place::Drafted, Place::Queued, 1);
        store.read(&[StepStatus::Queued, StepStatus::Queued], 1);
        store.read(&[StepStatus::Started, StepStatus::Queued], 4);
        store.read(&[StepStatus::Completed, StepStatus::Started], 6);
        store
    }
}

#[test]
fn a_job_that_completes_has_a_wait_a_duration_and_its_steps() {
    let mut store = Store::running();
    let present = store.jobs.present();
    assert_eq!((present.queued, present.running, present.since), (0, 1, Some(store.at(4))));
    store.read(&[StepStatus::Completed, StepStatus::Completed], 9);
    assert_eq!(store.moved(Place::Queued, Place::Completed, 9), Some(Ended::Completed));
    let counters = &store.jobs.counters;
    assert_eq!((counters.completed, counters.steps_completed, counters.processors[7]), (1, 2, 2));
    assert_eq!((counters.queue_waits.sum_ns, counters.durations.sum_ns), (3_000_000_000, 5_000_000_000));
    assert_eq!(store.jobs.present(), Present::default());
}

#[test]
fn a_failed_job_can_be_retried() {
    let mut store = Store::running();
    store.read(&[StepStatus::Completed, StepStatus::Failed], 9);
    assert_eq!(store.moved(Place::Queued, Place::Failed, 9), Some(Ended::Failed));
    store.moved(Place::Failed, Place::Queued, 20);
    store.read(&[StepStatus::Queued, StepStatus::Queued], 20);
    store.read(&[StepStatus::Started, StepStatus::Queued], 21);
    store.read(&[StepStatus::Completed, StepStatus::Completed], 22);
    store.moved(Place::Queued, Place::Completed, 22);
    let counters = &store.jobs.counters;
    assert_eq!((counters.retries, counters.completed), (1, 1));
    assert_eq!((counters.steps_completed, counters.steps_failed), (3, 1));
    assert_eq!(counters.durations.count(), 2);
}

#[test]
fn the_order_of_the_two_events_of_a_move_does_not_matter() {
    let mut store = Store::running();
    assert_eq!(store.appeared(Place::Completed, 9), Some(Ended::Completed));
    let now = store.at(9);
    store.jobs.vanished(Place::Queued, JOB, now);
    store.jobs.tidy(store.begun + Duration::from_secs(100));
    assert!(store.jobs.is_at(Place::Completed, JOB));
    assert_eq!(store.appeared(Place::Completed, 10), None, "copied, and listed once more");
    assert_eq!(store.jobs.counters.completed, 1);
}

#[test]
fn a_deleted_job_is_forgotten_and_not_counted() {
    let mut store = Store::running();
    let now = store.at(9);
    store.jobs.vanished(Place::Queued, JOB, now);
    assert_eq!(store.jobs.present(), Present::default());
    store.jobs.tidy(store.at(12));
    assert!(store.jobs.jobs.is_empty());
    assert_eq!(store.jobs.counters.completed, 0);
}

#[test]
fn jobs_end_with_their_process_and_may_run_again() {
    let mut store = Store::running();
    assert!(store.jobs.stop(Some(JOB)).is_empty(), "the one that goes on");
    assert_eq!(store.jobs.stop(Some(JOB + 1)), [JOB]);
    let present = store.jobs.present();
    assert_eq!((present.queued, present.running, present.stopped), (0, 0, 1));
    assert!(store.jobs.stop(None).is_empty() && store.jobs.running().is_empty());
    store.read(&[StepStatus::Completed, StepStatus::Started], 100);
    assert_eq!(store.jobs.present().running, 1);
    assert_eq!(store.jobs.counters.queue_waits.count(), 1, "the time since the submission is no wait");
}

#[test]
fn jobs_of_the_time_before_are_present_and_not_counted() {
    let mut store = Store::new();
    store.jobs.found(Place::Queued, JOB);
    let steps = vec![Step { status: StepStatus::Started, processors: [true; PROCESSORS.len()] }];
    let now = store.at(0);
    store.jobs.read(JOB, &JobFile { steps, modified: None }, Seen::Before, now);
    assert_eq!((store.jobs.present().running, store.jobs.present().since), (1, None));
    assert_eq!(store.jobs.counters, FaceFusionCounters::default());
    store.read(&[StepStatus::Completed], 5);
    assert_eq!(store.moved(Place::Queued, Place::Completed, 5), Some(Ended::Completed));
    assert_eq!((store.jobs.counters.completed, store.jobs.counters.steps_completed), (1, 1));
    assert_eq!(store.jobs.counters.durations.count(), 0, "the start was not seen");
}

#[test]
fn a_job_left_over_from_an_earlier_run_waits_until_it_runs_again() {
    let mut store = Store::new();
    let statuses = [StepStatus::Completed, StepStatus::Started];
    let mut processors = [false; PROCESSORS.len()];
    processors[7] = true;
    let steps = statuses.map(|status| Step { status, processors }).to_vec();
    store.jobs.found(Place::Queued, JOB);
    let now = store.at(0);
    store.jobs.read(JOB, &JobFile { steps, modified: None }, Seen::LeftOver, now);
    let present = store.jobs.present();
    assert_eq!((present.queued, present.running, present.stopped), (0, 0, 1));
    // FaceFusion runs all steps again.
    store.read(&[StepStatus::Started, StepStatus::Started], 5);
    assert_eq!((store.jobs.present().running, store.jobs.present().since), (1, Some(store.at(5))));
    store.read(&[StepStatus::Completed, StepStatus::Started], 6);
    store.read(&[StepStatus::Completed, StepStatus::Completed], 7);
    let counters = &store.jobs.counters;
    assert_eq!((counters.processors[7], counters.steps_completed), (2, 2));
}

#[test]
fn the_number_of_jobs_is_limited_and_ended_ones_make_room() {
    let mut jobs = Jobs::default();
    let now = Instant::now();
    for key in 0..JOBS_MAX as u64 + 5 {
        jobs.appeared(Place::Queued, key, now);
    }
    assert_eq!((jobs.jobs.len(), jobs.counters.ignored.too_many), (JOBS_MAX, 5));
    jobs.appeared(Place::Completed, 1, now);
    jobs.appeared(Place::Queued, u64::MAX, now);
    assert!(jobs.is_at(Place::Queued, u64::MAX));
    assert_eq!(jobs.counters.ignored.too_many, 5);
}
