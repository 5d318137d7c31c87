//! The jobs of one container: from the request to the queue, the start and the end.
//!
//! A job ends when the server reports its end, and only once: what is reported about it later is counted and otherwise
//! ignored. (If a queued job is cancelled while another one of the same session and function runs, Gradio reports its
//! cancellation, runs it anyway, and never reports the end of the other one.) A job whose server reports no end is
//! abandoned when its client is gone, so no job is in flight forever.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    event::EventId,
    exchanges::{ExchangeKey, Session},
    functions::{Function, Functions},
    job::{Job, Watch},
    message::Kind,
    recent::{Early, Ended},
};
use crate::{
    config::FunctionName,
    snapshot::jobs::{IgnoredEvents, InFlight, Jobs as Output, Outcome},
};

/// A browser closes its stream first and cancels the job then. A client that lost its stream opens another one.
const GRACE_NS: u64 = 2_000_000_000;
/// A client opens its stream within some 100 ms after its request.
const UNWATCHED_NS: u64 = 60_000_000_000;

/// The jobs of one container.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    unfinished: HashMap<EventId, Job>,
    by_age: BTreeMap<u64, EventId>,
    sessions: HashMap<Session, Watch>,
    ended: Ended,
    early: Early,
    functions: Functions,
    queue_size: Option<u64>,
    joined: u64,
    pub(super) ignored: IgnoredEvents,
}

impl Jobs {
    /// The server has accepted a job.
    pub(super) fn join(
        &mut self,
        id: EventId,
        function: Function,
        is_call: bool,
        session: Option<Session>,
        asked_ns: u64,
        limit: usize,
    ) {
        if self.unfinished.contains_key(&id) || self.ended.contains(id) {
            self.ignored.ended_job += 1;
            return;
        }
        self.limit(limit.saturating_sub(1));
        self.joined += 1;
        let job = Job {
            number: self.joined,
            function: self.functions.position(function),
            session: None,
            asked_ns,
            started_ns: None,
            has_progress: false,
            is_cancelled: false,
            is_call,
            stream: None,
        };
        self.by_age.insert(job.number, id);
        self.unfinished.insert(id, job);
        if let Some(session) = session {
            self.bind(id, session);
        }
        for (at_ns, kind) in self.early.take(id) {
            self.on_message(id, kind, None, at_ns);
        }
    }

    /// Drops the oldest jobs until there are at most so many.
    pub(super) fn limit(&mut self, most: usize) {
        while self.unfinished.len() > most {
            let Some((_, oldest)) = self.by_age.first_key_value() else { break };
            self.remove(*oldest);
            self.ignored.evicted += 1;
        }
    }

    /// The server reports something about a job, on this stream.
    pub(super) fn on_message(
        &mut self,
        id: EventId,
        kind: Kind,
        stream: Option<(ExchangeKey, Session)>,
        at_ns: u64,
    ) {
        if let Kind::Estimation(size) = kind {
            self.queue_size = size.or(self.queue_size);
        }
        if let Some((_, session)) = stream {
            self.bind(id, session);
        }
        let Some(job) = self.unfinished.get_mut(&id) else {
            match kind {
                Kind::Starts | Kind::Progress | Kind::Ends(_) if self.ended.contains(id) => {
                    self.ignored.ended_job += 1;
                }
                Kind::Starts | Kind::Progress | Kind::Ends(_) => {
                    self.ignored.unknown_job += self.early.insert(id, at_ns, kind);
                }
                _ => {}
            }
            return;
        };
        job.stream = stream.map(|(key, _)| key).or(job.stream);
        match kind {
            Kind::Starts if job.started_ns.is_none() => {
                job.started_ns = Some(at_ns);
                self.functions.started(job.function, at_ns.saturating_sub(job.asked_ns));
            }
            Kind::Progress if !job.has_progress => {
                job.has_progress = true;
                self.functions.progressed(job.function, at_ns.saturating_sub(job.asked_ns));
            }
            Kind::Ends(outcome) => self.end(id, outcome, at_ns),
            _ => {}
        }
    }

    /// A client requests the cancellation of a job. The server reports the end, unless the client no longer listens.
    pub(super) fn cancel(&mut self, id: EventId, session: Option<Session>) {
        let Some(job) = self.unfinished.get_mut(&id) else { return };
        if session.is_some() && job.session.is_some() && session != job.session {
            return;
        }
        job.is_cancelled = true;
        let left_ns =
            job.session.and_then(|session| self.sessions.get(&session)).and_then(|watch| watch.left_ns);
        if let Some(left_ns) = left_ns.filter(|left_ns| job.asked_ns <= *left_ns) {
            self.end(id, Outcome::Cancelled, left_ns);
        }
    }

    /// A client opens a stream.
    pub(super) fn stream_opened(&mut self, session: Session) {
        let watch = self.sessions.entry(session).or_default();
        watch.streams += 1;
        watch.left_ns = None;
    }

    /// A stream has ended, for whatever reason.
    pub(super) fn stream_closed(&mut self, session: Session, at_ns: u64) {
        let Some(watch) = self.sessions.get_mut(&session) else { return };
        watch.streams = watch.streams.saturating_sub(1);
        if watch.streams == 0 {
            watch.left_ns = Some(at_ns);
        }
        self.drop_if_unused(session);
    }

    /// The server has no further messages for the jobs that it has mentioned on this stream.
    pub(super) fn stream_finished(
        &mut self,
        session: Session,
        stream: ExchangeKey,
        outcome: Outcome,
        at_ns: u64,
    ) {
        let Some(watch) = self.sessions.get(&session) else { return };
        let is_over = |id: &&EventId| self.unfinished.get(id).is_some_and(|job| job.stream == Some(stream));
        let over: Vec<EventId> = watch.jobs.iter().filter(is_over).copied().collect();
        for id in over {
            self.end(id, outcome, at_ns);
        }
    }

    /// Ends the jobs whose client is gone.
    pub(super) fn expire(&mut self, now_ns: u64) {
        self.ignored.unknown_job += self.early.expire(now_ns);
        let mut due = Vec::new();
        for (id, job) in &self.unfinished {
            let watch = job.session.and_then(|session| self.sessions.get(&session));
            if watch.is_some_and(|watch| watch.streams > 0) {
                continue;
            }
            let left_ns = watch.and_then(|watch| watch.left_ns).filter(|left_ns| job.asked_ns <= *left_ns);
            let (gone_ns, patience_ns) =
                left_ns.map_or((job.asked_ns, UNWATCHED_NS), |at_ns| (at_ns, GRACE_NS));
            if now_ns.saturating_sub(gone_ns) > patience_ns {
                due.push((*id, gone_ns));
            }
        }
        for (id, gone_ns) in due {
            self.end(id, Outcome::Abandoned, gone_ns);
        }
    }

    /// Counts the end of an unfinished job. If its cancellation was requested, that is why it was abandoned.
    fn end(&mut self, id: EventId, outcome: Outcome, at_ns: u64) {
        let Some(job) = self.remove(id) else { return };
        let outcome =
            if outcome == Outcome::Abandoned && job.is_cancelled { Outcome::Cancelled } else { outcome };
        let run_ns = job.started_ns.map(|started_ns| at_ns.saturating_sub(started_ns));
        self.functions.ended(job.function, outcome, at_ns.saturating_sub(job.asked_ns), run_ns);
        self.ended.insert(id);
    }

    fn remove(&mut self, id: EventId) -> Option<Job> {
        let job = self.unfinished.remove(&id)?;
        self.by_age.remove(&job.number);
        if let Some(session) = job.session {
            if let Some(watch) = self.sessions.get_mut(&session) {
                watch.jobs.remove(&id);
            }
            self.drop_if_unused(session);
        }
        Some(job)
    }

    /// Records the session of a job. Messages show it reliably; the request may have been read incompletely.
    fn bind(&mut self, id: EventId, session: Session) {
        let Some(job) = self.unfinished.get_mut(&id) else { return };
        if job.session == Some(session) {
            return;
        }
        let before = job.session.replace(session);
        self.sessions.entry(session).or_default().jobs.insert(id);
        if let Some(before) = before {
            if let Some(watch) = self.sessions.get_mut(&before) {
                watch.jobs.remove(&id);
            }
            self.drop_if_unused(before);
        }
    }

    fn drop_if_unused(&mut self, session: Session) {
        if self.sessions.get(&session).is_some_and(|watch| watch.streams == 0 && watch.jobs.is_empty()) {
            self.sessions.remove(&session);
        }
    }

    /// Numbers of jobs in flight.
    pub(super) fn in_flight(&self) -> InFlight {
        let mut in_flight = InFlight::default();
        for job in self.unfinished.values() {
            match (job.started_ns, job.is_call) {
                (Some(_), _) => in_flight.running += 1,
                (None, false) => in_flight.queued += 1,
                (None, true) => in_flight.unknown += 1,
            }
        }
        in_flight
    }

    /// Jobs that run, of these sessions and API calls. The start of a call is unknown, so a call may still be queued.
    pub(super) fn running(&self, sessions: &HashSet<Session>, calls: &HashSet<EventId>) -> u64 {
        let runs = |id: &EventId, job: &Job| {
            let is_followed = job.session.is_some_and(|session| sessions.contains(&session));
            if job.is_call { calls.contains(id) } else { job.started_ns.is_some() && is_followed }
        };
        self.unfinished.iter().filter(|(id, job)| runs(id, job)).count() as u64
    }

    /// What is exported of a container with this display name; `None` if it has had no jobs.
    pub(super) fn output(&self, names: &[FunctionName], container: &str) -> Option<Output> {
        if self.functions.is_empty() && self.ignored == IgnoredEvents::default() {
            return None;
        }
        let in_flight = self.in_flight();
        let mut output = Output { in_flight, ignored: self.ignored, ..Output::default() };
        output.queue_size = self.queue_size.filter(|_| in_flight.queued > 0);
        self.functions.write(&mut output, names, container);
        Some(output)
    }

    /// Numbers of entries in all tables, for tests of their limits.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 6] {
        let of_sessions = self.sessions.values().map(|watch| watch.jobs.len()).sum();
        [
            self.unfinished.len(),
            self.by_age.len(),
            self.sessions.len(),
            of_sessions,
            self.ended.len(),
            self.early.len(),
        ]
    }

    /// Jobs accepted so far.
    #[cfg(test)]
    pub(super) const fn joined(&self) -> u64 {
        self.joined
    }
}
