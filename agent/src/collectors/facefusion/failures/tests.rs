use super::*;
use crate::snapshot::facefusion::ByReason;

const A: Key = 1;
const B: Key = 2;

/// A container, its jobs, and its failures.
struct Container {
    subject: Subject,
    failures: Failures,
    jobs: Jobs,
    now: Instant,
}

impl Container {
    fn new() -> Self {
        let subject = Subject::new("a".into(), "/a".into(), false);
        Self { subject, failures: Failures::default(), jobs: Jobs::default(), now: Instant::now() }
    }

    /// A tick counts these, and the thread sees that these jobs are running.
    fn tick(&mut self, refused: u64, errors: u64, running: &[Key]) {
        self.subject.note(Signs { refused, errors: Some(errors), ..Signs::default() }, None);
        self.failures.follow(&running.iter().copied().collect(), &self.subject);
    }

    fn start(&mut self, key: Key) {
        self.failures.step_started(key, &self.subject);
    }

    fn end(&mut self, cause: Cause, key: Key) {
        self.failures.add(cause, key, &self.subject, &mut self.jobs, None, self.now);
    }

    /// The failed and the abandoned jobs.
    fn decided(&mut self) -> (ByReason, ByReason) {
        self.failures.decide(&self.subject, &mut self.jobs, self.now);
        (self.jobs.counters.failed, self.jobs.counters.abandoned)
    }
}

const NONE: ByReason = [0; FailureReason::ALL.len()];

/// One job with this reason.
fn one(reason: FailureReason) -> ByReason {
    let mut counts = NONE;
    counts[reason as usize] = 1;
    counts
}

#[test]
fn a_refusal_that_is_counted_after_the_failure_is_its_reason() {
    for cause in [Cause::Failed, Cause::Exception, Cause::Exit] {
        let mut container = Container::new();
        container.tick(3, 0, &[]);
        container.start(A);
        container.end(cause, A);
        container.tick(4, 0, &[]);
        assert_eq!(container.decided(), (NONE, NONE), "not decided yet");
        container.tick(4, 0, &[]);
        let gpu_memory = one(FailureReason::GpuMemory);
        let expected = if cause == Cause::Failed { (gpu_memory, NONE) } else { (NONE, gpu_memory) };
        assert_eq!(container.decided(), expected, "{cause:?}");
        // The next job fails without a refusal of its own.
        container.start(B);
        container.end(cause, B);
        container.now += PATIENCE;
        let (failed, abandoned) = container.decided();
        assert_eq!(if cause == Cause::Failed { failed } else { abandoned }, [0, 1, 0, 1], "{cause:?}");
    }
}

#[test]
fn an_error_at_the_end_of_a_step_does_not_count_for_the_next_one() {
    let mut container = Container::new();
    container.tick(0, 3, &[]);
    container.start(A);
    container.failures.follow(&HashSet::from([A]), &container.subject);
    // An ffmpeg fails, but the step completes. The next one starts before the tick counts the error.
    container.start(A);
    container.tick(0, 4, &[A]);
    container.end(Cause::Failed, A);
    container.tick(0, 4, &[]);
    container.tick(0, 4, &[]);
    assert_eq!(container.decided().0, one(FailureReason::Unknown));
    // An error of its own.
    container.start(B);
    container.tick(0, 4, &[B]);
    container.end(Cause::Failed, B);
    container.tick(0, 5, &[]);
    container.tick(0, 5, &[]);
    assert_eq!(container.decided().0, [0, 0, 1, 1]);
}

#[test]
fn each_job_has_the_reason_of_its_own_time() {
    let mut container = Container::new();
    container.tick(3, 0, &[]);
    container.start(A);
    container.tick(4, 0, &[A]);
    container.tick(4, 0, &[A]);
    container.start(B);
    container.tick(4, 0, &[A, B]);
    container.end(Cause::Exception, A);
    container.end(Cause::Failed, B);
    container.tick(4, 0, &[]);
    container.tick(4, 0, &[]);
    assert_eq!(container.decided(), (one(FailureReason::Unknown), one(FailureReason::GpuMemory)));
}

#[test]
fn reasons_are_decided_with_the_last_signs_when_the_container_ends() {
    let mut container = Container::new();
    container.tick(3, 0, &[]);
    container.start(A);
    container.tick(3, 0, &[A, B]);
    container.end(Cause::Exit, A);
    let at_end = |running, refused| {
        let mut counters = FaceFusionCounters::default();
        let signs = Signs { refused, ..Signs::default() };
        container.failures.decide_at_end(running, signs, &mut counters);
        counters.abandoned
    };
    assert_eq!(at_end(1, 3), [0, 0, 0, 2]);
    assert_eq!(at_end(1, 4), [0, 2, 0, 0]);
    assert_eq!(at_end(2, 4), [0, 2, 0, 1], "of the third job, nothing is known");
}

#[test]
fn too_many_failures_at_a_time_have_no_reason() {
    let mut container = Container::new();
    (0..=UNDECIDED_MAX).for_each(|_| container.end(Cause::Failed, A));
    assert_eq!(container.decided().0, one(FailureReason::Unknown));
    container.now += PATIENCE;
    assert_eq!(container.decided().0.iter().sum::<u64>(), UNDECIDED_MAX as u64 + 1);
}

#[test]
fn a_job_whose_programs_succeeded_was_stopped_by_its_user() {
    let of = |cause, before: Option<u64>, after: Option<u64>, signals, has_readers| {
        let failure = Failure {
            cause,
            at: Instant::now(),
            ticks: 0,
            before: Some(Signs { errors: before, ..Signs::default() }),
            was_only_filtered: false,
            was_processed: true,
            has_readers,
        };
        failure.reason(Signs { errors: after, signals, ..Signs::default() })
    };
    let failed = |before, after, signals, has_readers| of(Cause::Failed, before, after, signals, has_readers);
    assert_eq!(failed(Some(3), Some(3), 0, false), FailureReason::Unknown);
    assert_eq!(failed(Some(3), Some(4), 0, true), FailureReason::ProcessingError);
    assert_eq!(failed(None, Some(1), 0, false), FailureReason::ProcessingError);
    assert_eq!(failed(None, None, 0, false), FailureReason::ProcessingError, "they are not counted");
    assert_eq!(failed(Some(3), Some(3), 1, false), FailureReason::ProcessingError);
    assert_eq!(failed(Some(3), Some(3), 1, true), FailureReason::Unknown, "a reader");
    // An ffmpeg fails if the process that reads its frames has ended.
    assert_eq!(of(Cause::Exit, Some(3), Some(4), 0, true), FailureReason::Unknown);
    assert_eq!(of(Cause::Exception, Some(3), Some(4), 0, true), FailureReason::ProcessingError);
}

#[test]
fn a_refusal_by_the_content_filter_needs_no_counts() {
    let failure = |cause| Failure {
        cause,
        at: Instant::now(),
        ticks: 0,
        before: None,
        was_only_filtered: true,
        was_processed: false,
        has_readers: true,
    };
    let reason = |cause| failure(cause).reason(Signs::default());
    assert_eq!(reason(Cause::Failed), FailureReason::RefusedByContentFilter);
    assert_eq!(reason(Cause::Exit), FailureReason::Unknown);
}
