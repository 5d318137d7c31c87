use super::*;

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
        let failures = Failures::new(&subject);
        Self { subject, failures, jobs: Jobs::default(), now: Instant::now() }
    }

    /// A tick counts these.
    fn tick(&self, refused: u64, errors: u64) {
        self.subject.note(Signs { refused, errors: Some(errors), ..Signs::default() }, None);
    }

    fn end(&mut self, end: End) {
        self.failures.add(end, &self.subject, &mut self.jobs, None, self.now);
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
    for end in [End::Failed, End::Exception, End::Exit] {
        let mut container = Container::new();
        container.tick(3, 0);
        container.failures.step_started(&container.subject);
        container.end(end);
        container.tick(4, 0);
        assert_eq!(container.decided(), (NONE, NONE), "not decided yet");
        let gpu_memory = one(FailureReason::GpuMemory);
        let expected = if end == End::Failed { (gpu_memory, NONE) } else { (NONE, gpu_memory) };
        let Undecided { failed, abandoned } = container.failures.undecided(&container.subject);
        assert_eq!((failed, abandoned), expected, "{end:?}");
        container.tick(4, 0);
        assert_eq!(container.decided(), expected, "{end:?}");
        // The next job fails without a refusal of its own.
        container.failures.step_started(&container.subject);
        container.end(end);
        container.now += PATIENCE;
        let counts = container.decided();
        let counts = if end == End::Failed { counts.0 } else { counts.1 };
        assert_eq!(counts, [0, 1, 0, 1], "{end:?}");
    }
}

#[test]
fn an_error_at_the_end_of_a_step_is_none_of_the_next_one() {
    let mut container = Container::new();
    container.tick(0, 3);
    container.failures.step_started(&container.subject);
    container.failures.note_running(&container.subject);
    // An ffmpeg fails, but the step completes. The next one starts before the tick counts the error.
    container.failures.step_started(&container.subject);
    container.tick(0, 4);
    container.failures.note_running(&container.subject);
    container.end(End::Failed);
    container.tick(0, 4);
    container.tick(0, 4);
    assert_eq!(container.decided().0, one(FailureReason::Unknown));
    // An error of its own.
    container.failures.step_started(&container.subject);
    container.tick(0, 4);
    container.failures.note_running(&container.subject);
    container.end(End::Failed);
    container.tick(0, 5);
    container.tick(0, 5);
    assert_eq!(container.decided().0, [0, 0, 1, 1]);
}

#[test]
fn a_job_that_was_left_when_another_one_started_has_the_reason_of_its_own_time() {
    let mut container = Container::new();
    container.tick(3, 0);
    container.failures.step_started(&container.subject);
    container.tick(4, 0);
    container.tick(4, 0);
    container.failures.step_started(&container.subject);
    container.failures.add_before_this_step(&container.subject, &mut container.jobs, container.now);
    container.end(End::Failed);
    container.tick(4, 0);
    container.tick(4, 0);
    assert_eq!(container.decided(), (one(FailureReason::Unknown), one(FailureReason::GpuMemory)));
}

#[test]
fn too_many_failures_at_a_time_have_no_reason() {
    let mut container = Container::new();
    (0..=UNDECIDED_MAX).for_each(|_| container.end(End::Failed));
    assert_eq!(container.decided().0, one(FailureReason::Unknown));
    container.now += PATIENCE;
    assert_eq!(container.decided().0.iter().sum::<u64>(), UNDECIDED_MAX as u64 + 1);
}

#[test]
fn a_job_whose_programs_succeeded_was_stopped_by_its_user() {
    let of = |end, before: Option<u64>, after: Option<u64>, signals, has_readers| {
        let failure = Failure {
            end,
            at: Instant::now(),
            ticks: 0,
            before: Some(Signs { errors: before, ..Signs::default() }),
            was_only_filtered: false,
            was_processed: true,
            has_readers,
        };
        failure.reason(Signs { errors: after, signals, ..Signs::default() })
    };
    let failed = |before, after, signals, has_readers| of(End::Failed, before, after, signals, has_readers);
    assert_eq!(failed(Some(3), Some(3), 0, false), FailureReason::Unknown);
    assert_eq!(failed(Some(3), Some(4), 0, true), FailureReason::ProcessingError);
    assert_eq!(failed(None, Some(1), 0, false), FailureReason::ProcessingError);
    assert_eq!(failed(None, None, 0, false), FailureReason::ProcessingError, "they are not counted");
    assert_eq!(failed(Some(3), Some(3), 1, false), FailureReason::ProcessingError);
    assert_eq!(failed(Some(3), Some(3), 1, true), FailureReason::Unknown, "a reader");
    // An ffmpeg fails if the process that reads its frames has ended.
    assert_eq!(of(End::Exit, Some(3), Some(4), 0, true), FailureReason::Unknown);
    assert_eq!(of(End::Exception, Some(3), Some(4), 0, true), FailureReason::ProcessingError);
}

#[test]
fn a_refusal_by_the_content_filter_needs_no_counts() {
    let failure = |end| Failure {
        end,
        at: Instant::now(),
        ticks: 0,
        before: None,
        was_only_filtered: true,
        was_processed: false,
        has_readers: true,
    };
    let reason = |end| failure(end).reason(Signs::default());
    assert_eq!(reason(End::Failed), FailureReason::RefusedByContentFilter);
    assert_eq!(reason(End::Exit), FailureReason::Unknown);
}
