//! What is known about an unfinished job and about the client that follows it.

use std::collections::HashSet;

use super::{
    event::EventId,
    exchanges::{ExchangeKey, Session},
};

/// A job that has not ended.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) function: usize,
    pub(super) session: Option<Session>,
    pub(super) asked_ns: u64,
    pub(super) started_ns: Option<u64>,
    pub(super) has_progress: bool,
    /// True if a client has requested its cancellation.
    pub(super) is_cancelled: bool,
    /// True if the server does not report its start.
    pub(super) is_call: bool,
    /// The stream that the server last used for it.
    pub(super) stream: Option<ExchangeKey>,
}

/// A session: the jobs and streams of one client.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) streams: u32,
    /// When its last stream ended.
    pub(super) left_ns: Option<u64>,
    pub(super) jobs: HashSet<EventId>,
}
