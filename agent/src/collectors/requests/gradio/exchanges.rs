//! Requests to Gradio that are in progress, by connection. Limited: if there are too many, those that have been silent
//! the longest are dropped.

use std::collections::BTreeMap;

use super::{event::EventId, functions::Function};

/// Maximum number of requests in progress of one container.
pub(super) const EXCHANGES_MAX: usize = 4096;
/// Time after which a silent request has ended. A stream sends a heartbeat every 15 s, but not while the server's interpreter is
/// blocked.
pub(super) const SILENCE_NS: u64 = 600_000_000_000;

/// Number of a connection, and of the request on it.
pub(super) type ExchangeKey = (u64, u32);

/// The hash of a session's name. The names themselves are not kept, because they are credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session(pub(super) u64);

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Adds a job.
    Join,
    /// Adds a job by the API name of its function.
    Call(Function),
    /// Streams messages of the jobs of a session.
    Stream(Session),
    /// Streams the messages of one job.
    CallStream(EventId, Session),
    /// Cancels a job.
    Cancel,
}

impl Role {
    /// The session whose jobs the client follows through this request.
    pub(super) const fn followed(&self) -> Option<Session> {
        match self {
            Self::Stream(session) | Self::CallStream(_, session) => Some(*session),
            _ => None,
        }
    }
}

/// A request and its response.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) role: Role,
    /// When the last byte of the request arrived, as far as is known.
    pub(super) asked_ns: u64,
    /// When the last piece arrived.
    pub(super) seen_ns: u64,
    /// The function in the body.
    pub(super) function: Option<u32>,
    /// The session in the body.
    pub(super) session: Option<Session>,
    /// True if nothing more is expected: the job is known, or the stream was closed by a message.
    pub(super) is_done: bool,
}

/// The requests in progress.
#[derive(Debug, Default)]
pub(super) struct Exchanges(BTreeMap<ExchangeKey, Exchange>);

impl Exchanges {
    pub(super) fn get_mut(&mut self, key: ExchangeKey) -> Option<&mut Exchange> {
        self.0.get_mut(&key)
    }

    /// The roles of the requests that are not done, on these connections.
    pub(super) fn roles(&self, is_on: impl Fn(u64) -> bool) -> impl Iterator<Item = &Role> {
        let is_open = move |(key, exchange): &(&ExchangeKey, &Exchange)| !exchange.is_done && is_on(key.0);
        self.0.iter().filter(is_open).map(|(_, exchange)| &exchange.role)
    }

    /// Enters a request. Returns the requests that it displaces: an earlier one with this key, or the most silent ones.
    pub(super) fn insert(&mut self, key: ExchangeKey, exchange: Exchange) -> Vec<Exchange> {
        let mut displaced: Vec<Exchange> = self.0.remove(&key).into_iter().collect();
        if self.0.len() >= EXCHANGES_MAX {
            // Many at once, so that the search is rare.
            let mut times: Vec<u64> = self.0.values().map(|exchange| exchange.seen_ns).collect();
            let (_, limit_ns, _) = times.select_nth_unstable(EXCHANGES_MAX / 4);
            let limit_ns = *limit_ns;
            displaced
                .extend(self.0.extract_if(.., |_, known| known.seen_ns <= limit_ns).map(|(_, known)| known));
        }
        self.0.insert(key, exchange);
        displaced
    }

    pub(super) fn remove(&mut self, key: ExchangeKey) -> Option<Exchange> {
        self.0.remove(&key)
    }

    /// Removes the requests of a connection.
    pub(super) fn remove_connection(&mut self, connection: u64) -> Vec<(ExchangeKey, Exchange)> {
        self.0.extract_if((connection, 0)..=(connection, u32::MAX), |_, _| true).collect()
    }

    /// Removes the requests that have been silent for too long.
    pub(super) fn remove_silent(&mut self, now_ns: u64) -> Vec<(ExchangeKey, Exchange)> {
        let is_silent = |exchange: &Exchange| now_ns.saturating_sub(exchange.seen_ns) > SILENCE_NS;
        self.0.extract_if(.., |_, exchange| is_silent(exchange)).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(seen_ns: u64) -> Exchange {
        Exchange { role: Role::Join, asked_ns: 0, seen_ns, function: None, session: None, is_done: false }
    }

    #[test]
    fn the_most_silent_requests_are_dropped_if_there_are_too_many() {
        let mut exchanges = Exchanges::default();
        let mut displaced = Vec::new();
        for number in 0..10 * EXCHANGES_MAX as u64 {
            displaced.extend(exchanges.insert((number, 1), exchange(number)));
            assert!(exchanges.len() <= EXCHANGES_MAX);
            let newest = exchanges.get_mut((number, 1)).map(|exchange| exchange.seen_ns);
            assert_eq!(newest, Some(number));
        }
        assert_eq!(displaced.len() + exchanges.len(), 10 * EXCHANGES_MAX);
        assert!(displaced.windows(2).all(|pair| pair[0].seen_ns < pair[1].seen_ns));
    }

    #[test]
    fn requests_end_with_their_connection_or_after_silence() {
        let mut exchanges = Exchanges::default();
        for key in [(1, 1), (1, u32::MAX), (2, 0), (u64::MAX, 7)] {
            assert!(exchanges.insert(key, exchange(key.0.min(9))).is_empty());
        }
        assert_eq!(exchanges.remove_connection(1).len(), 2);
        assert_eq!(exchanges.remove_silent(SILENCE_NS + 2).len(), 0);
        assert_eq!(exchanges.remove_silent(SILENCE_NS + 3).len(), 1);
        assert_eq!(exchanges.len(), 1);
    }
}
