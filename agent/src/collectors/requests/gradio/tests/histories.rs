//! Legal histories of several sessions, with a simple model as witness.

use std::collections::BTreeMap;

use glassbox_ebpf::requests::piece::Piece;
use proptest::prelude::*;

use super::{
    hostile::{check, check_limits},
    wire::{Connection, MS, Wire},
};
use crate::{
    collectors::requests::gradio::JobTracker,
    snapshot::jobs::{FUNCTIONS_MAX, Outcome},
};

/// How a job goes on after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Succeeds,
    Fails,
    /// Runs and is cancelled.
    CancelledRunning,
    /// Is cancelled in the queue.
    CancelledQueued,
    /// Is cancelled in the queue, and runs anyway.
    CancelledAndRun,
    /// Starts, and the server never reports an end.
    NeverEnds,
}

#[derive(Clone, Debug)]
pub(super) struct Planned {
    session: usize,
    function: u32,
    asked_ms: u64,
    wait_ms: u64,
    run_ms: u64,
    course: Course,
    has_progress: bool,
}

/// How the stream of a session ends.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// The server closes it after the last message.
    Finished,
    /// The client leaves.
    Gone(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Planned>,
    sessions: [Leaving; 3],
}

prop_compose! {
    fn planned()(
        session in 0..3_usize,
        function in 0..40_u32,
        asked_ms in 1..5000_u64,
        wait_ms in 1..5000_u64,
        run_ms in 2..5000_u64,
        course in prop::sample::select(&[
            Course::Succeeds, Course::Succeeds, Course::Fails, Course::CancelledRunning, Course::CancelledQueued,
            Course::CancelledAndRun, Course::NeverEnds,
        ][..]),
        has_progress in any::<bool>(),
    ) -> Planned {
        Planned { session, function, asked_ms, wait_ms, run_ms, course, has_progress }
    }
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let leaving = prop_oneof![2 => Just(Leaving::Finished), 1 => (1..12_000_u64).prop_map(Leaving::Gone)];
    (prop::collection::vec(planned(), 1..60), prop::array::uniform3(leaving))
        .prop_map(|(jobs, sessions)| Plan { jobs, sessions })
}

/// A client leaves between two whole milliseconds, when nothing else happens.
fn gone_ns(leaving: Leaving) -> Option<u64> {
    match leaving {
        Leaving::Finished => None,
        Leaving::Gone(at_ms) => Some(at_ms * MS + MS / 2),
    }
}

impl Planned {
    fn started_ns(&self) -> Option<u64> {
        let starts = !matches!(self.course, Course::CancelledQueued | Course::CancelledAndRun);
        starts.then_some((self.asked_ms + self.wait_ms) * MS)
    }

    fn progress_ns(&self) -> Option<u64> {
        self.started_ns().filter(|_| self.has_progress).map(|started_ns| started_ns + MS)
    }

    fn end(&self) -> Option<(u64, Outcome)> {
        let queue_ns = (self.asked_ms + self.wait_ms) * MS;
        let run_ns = queue_ns + self.run_ms * MS;
        match self.course {
            Course::Succeeds => Some((run_ns, Outcome::Success)),
            Course::Fails => Some((run_ns, Outcome::Error)),
            Course::CancelledRunning => Some((run_ns, Outcome::Cancelled)),
            Course::CancelledQueued | Course::CancelledAndRun => Some((queue_ns, Outcome::Cancelled)),
            Course::NeverEnds => None,
        }
    }

    /// True if its client asks for it at all.
    fn is_asked(&self, plan: &Plan) -> bool {
        gone_ns(plan.sessions[self.session]).is_none_or(|gone_ns| self.asked_ms * MS < gone_ns)
    }
}

type Write<'a> = Box<dyn FnOnce(&mut Wire, Connection) + 'a>;

/// The pieces of a plan.
pub(super) fn history(plan: &Plan) -> Vec<Piece> {
    let mut wire = Wire::default();
    let sessions = ["ann", "bob", "eve"];
    let streams: Vec<Connection> = sessions.iter().map(|session| wire.stream(0, session)).collect();
    let mut events: Vec<(u64, usize, Write<'_>)> = Vec::new();
    for (job, planned) in plan.jobs.iter().enumerate().filter(|(_, planned)| planned.is_asked(plan)) {
        let (session, function) = (sessions[planned.session], planned.function);
        let mut add = |at_ns: u64, write: Write<'static>| events.push((at_ns, planned.session, write));
        let asked_ns = planned.asked_ms * MS;
        add(asked_ns, Box::new(move |wire, _| wire.join(asked_ns, session, function, job)));
        if let Some(at_ns) = planned.started_ns() {
            add(at_ns, Box::new(move |wire, stream| wire.starts(at_ns, stream, job)));
        }
        if let Some(at_ns) = planned.progress_ns() {
            add(at_ns, Box::new(move |wire, stream| wire.report(at_ns, stream, "progress", job, "")));
        }
        let Some((at_ns, outcome)) = planned.end() else { continue };
        add(
            at_ns,
            Box::new(move |wire, stream| match outcome {
                Outcome::Success => wire.succeeds(at_ns, stream, job),
                Outcome::Error => wire.fails(at_ns, stream, job),
                _ => {
                    wire.cancel(at_ns, session, job);
                    wire.reports_cancelled(at_ns, stream, job);
                }
            }),
        );
        if planned.course == Course::CancelledAndRun {
            let again_ns = at_ns + planned.run_ms * MS;
            add(at_ns + MS, Box::new(move |wire, stream| wire.starts(at_ns + MS, stream, job)));
            add(again_ns, Box::new(move |wire, stream| wire.succeeds(again_ns, stream, job)));
        }
    }
    events.sort_by_key(|(at_ns, _, _)| *at_ns);
    let last_ns = events.last().map_or(0, |(at_ns, _, _)| *at_ns);
    let mut is_gone = [false; 3];
    for (at_ns, session, write) in events {
        let gone_ns = gone_ns(plan.sessions[session]).filter(|gone_ns| *gone_ns < at_ns);
        if let Some(gone_ns) = gone_ns {
            if !std::mem::replace(&mut is_gone[session], true) {
                wire.end(gone_ns, streams[session]);
            }
            continue;
        }
        write(&mut wire, streams[session]);
    }
    for (session, stream) in streams.into_iter().enumerate().filter(|(session, _)| !is_gone[*session]) {
        match gone_ns(plan.sessions[session]) {
            Some(gone_ns) => wire.end(gone_ns, stream),
            None => wire.close_stream(last_ns + MS, stream),
        }
    }
    wire.pieces
}

/// What a function should have: ends by outcome, starts, and sums in ns of waits, first progress, runs and durations.
type Account = ([u64; 4], u64, [u64; 4]);

/// Computes the counters directly from the plan.
fn model(plan: &Plan) -> BTreeMap<String, Account> {
    let mut asked: Vec<&Planned> = plan.jobs.iter().filter(|planned| planned.is_asked(plan)).collect();
    asked.sort_by_key(|planned| planned.asked_ms);
    let mut known: Vec<u32> = Vec::new();
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for planned in asked {
        if !known.contains(&planned.function) && known.len() < FUNCTIONS_MAX {
            known.push(planned.function);
        }
        let is_own = known.contains(&planned.function);
        let name = if is_own { planned.function.to_string() } else { "other".to_owned() };
        let (ended, started, sums_ns) = accounts.entry(name).or_default();
        let seen =
            |at_ns: &u64| gone_ns(plan.sessions[planned.session]).is_none_or(|gone_ns| *at_ns < gone_ns);
        let asked_ns = planned.asked_ms * MS;
        let started_ns = planned.started_ns().filter(seen);
        if let Some(started_ns) = started_ns {
            *started += 1;
            sums_ns[0] += started_ns - asked_ns;
        }
        if let Some(progress_ns) = planned.progress_ns().filter(seen) {
            sums_ns[1] += progress_ns - asked_ns;
        }
        let end = planned.end().filter(|(at_ns, _)| seen(at_ns));
        let (at_ns, outcome) = end.unwrap_or((0, Outcome::Abandoned));
        ended[outcome as usize] += 1;
        if matches!(outcome, Outcome::Success | Outcome::Error) {
            sums_ns[2] += at_ns - started_ns.unwrap();
            sums_ns[3] += at_ns - asked_ns;
        }
    }
    accounts
}

proptest! {
    #[test]
    fn the_counters_of_a_legal_history_are_those_of_the_model(plan in plan()) {
        let mut tracker = JobTracker::new();
        for piece in history(&plan) {
            tracker.on_piece(&piece);
            check_limits(&tracker, 5);
        }
        check(&tracker, 5);
        tracker.expire(1_000_000 * MS);
        check(&tracker, 5);
        let output = tracker.jobs(5, &[], "a").unwrap_or_default();
        let counted: BTreeMap<String, Account> = output
            .functions
            .iter()
            .map(|function| {
                let counters = &function.counters;
                let sums_ns = [&counters.queue_waits, &counters.first_progress, &counters.runs, &counters.durations]
                    .map(|histogram| histogram.sum_ns);
                (function.name.to_string(), (counters.ended, counters.started, sums_ns))
            })
            .collect();
        prop_assert_eq!(counted, model(&plan));
        prop_assert_eq!(output.in_flight.total(), 0);
        prop_assert_eq!(output.ignored.unknown_job + output.ignored.unreadable + output.ignored.unknown_message, 0);
    }
}
