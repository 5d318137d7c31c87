//! The open connections. If a new connection exceeds the limit, one is evicted:
//! - the connection that has been idle longest; a connection with an incomplete request counts as idle;
//! - if none is idle, the one with the longest-running response, but not before [`LEAST_RESPONSE_TIME`];
//! - if there is no such response, none is evicted, and the new connection may only request health and readiness, see
//!   [`PROBE_CONNECTIONS`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::texts::TextId;

/// Number of connections above the limit that may only request health and readiness, so that too many clients never
/// make the agent look unhealthy. If all of them are in use, the oldest is evicted.
const PROBE_CONNECTIONS: usize = 8;
/// Maximum age of such a connection.
pub(super) const PROBE_LIFETIME: Duration = Duration::from_secs(2);
/// A response is not aborted for another connection before this time has passed. Most responses take a few
/// milliseconds.
const LEAST_RESPONSE_TIME: Duration = Duration::from_secs(1);

/// Why a connection was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// It was idle, and there was a new connection.
    Idle,
    /// Its client was slow, and there was a new connection.
    Slow,
    /// Its unread response used too much memory.
    Unread,
}

/// The open connections.
pub(super) struct Table {
    open: Mutex<Vec<Arc<Connection>>>,
}

/// The state of one connection.
pub(super) struct Connection {
    /// True if it may only request health and readiness.
    pub(super) probes_only: bool,
    progress: Mutex<Progress>,
    /// Start of the oldest response in progress.
    begun: watch::Sender<Option<Instant>>,
    evicted: Mutex<Option<Eviction>>,
    evict: Notify,
}

struct Progress {
    idle_since: Instant,
    /// Responses in progress, the oldest first; more than one if requests are pipelined.
    responses: VecDeque<Response>,
    next: u64,
}

struct Response {
    number: u64,
    begun: Instant,
    text: Option<TextId>,
}

/// A response in progress, until it is dropped.
pub(super) struct Responding {
    connection: Arc<Connection>,
    number: u64,
}

/// The entry of a connection in the table, removed when it is dropped.
pub(super) struct Place {
    table: Arc<Table>,
    pub(super) connection: Arc<Connection>,
}

impl Table {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { open: Mutex::default() })
    }

    /// Adds a new connection, and evicts another one if there are `max_connections` already.
    pub(super) fn admit(self: &Arc<Self>, max_connections: usize) -> Place {
        let mut open = self.open();
        let full = open.iter().filter(|open| !open.probes_only).count() >= max_connections;
        let probes_only = full && !evict_one(&mut open);
        if probes_only && open.iter().filter(|open| open.probes_only).count() >= PROBE_CONNECTIONS {
            let oldest = open.iter().position(|open| open.probes_only);
            oldest.map(|oldest| open.remove(oldest)).inspect(|oldest| oldest.evict(Eviction::Idle));
        }
        let connection = Arc::new(Connection::new(probes_only));
        open.push(Arc::clone(&connection));
        Place { table: Arc::clone(self), connection }
    }

    /// Evicts all connections that are sending one of these texts.
    pub(super) fn cut_readers(&self, texts: &[TextId]) {
        if texts.is_empty() {
            return;
        }
        let mut open = self.open();
        let readers = open.extract_if(.., |open| open.reads_any(texts));
        readers.for_each(|reader| reader.evict(Eviction::Unread));
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evicts one connection; returns false if none may be evicted.
fn evict_one(open: &mut Vec<Arc<Connection>>) -> bool {
    let places = || open.iter().enumerate().filter(|(_, open)| !open.probes_only);
    let idle = places().filter_map(|(at, open)| Some((open.idle_since()?, at, Eviction::Idle)));
    let slow = places().filter_map(|(at, open)| Some(((*open.begun.borrow())?, at, Eviction::Slow)));
    let slow = slow.filter(|(begun, ..)| begun.elapsed() >= LEAST_RESPONSE_TIME);
    let victim = idle.min_by_key(|(since, ..)| *since).or_else(|| slow.min_by_key(|(begun, ..)| *begun));
    let Some((_, at, reason)) = victim else { return false };
    open.remove(at).evict(reason);
    true
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open().retain(|open| !Arc::ptr_eq(open, &self.connection));
    }
}

impl Connection {
    fn new(probes_only: bool) -> Self {
        let progress = Progress { idle_since: Instant::now(), responses: VecDeque::new(), next: 0 };
        Self {
            probes_only,
            progress: Mutex::new(progress),
            begun: watch::Sender::new(None),
            evicted: Mutex::default(),
            evict: Notify::new(),
        }
    }

    /// Records the start of a request.
    pub(super) fn begin(self: &Arc<Self>) -> Responding {
        let number = {
            let mut progress = self.progress();
            let number = progress.next;
            progress.next += 1;
            progress.responses.push_back(Response { number, begun: Instant::now(), text: None });
            self.publish(&progress);
            number
        };
        Responding { connection: Arc::clone(self), number }
    }

    /// Resolves when the connection is evicted.
    pub(super) async fn evicted(&self) -> Eviction {
        loop {
            if let Some(reason) = *self.evicted.lock().unwrap_or_else(PoisonError::into_inner) {
                return reason;
            }
            self.evict.notified().await;
        }
    }

    /// Resolves when a response has been in progress for longer than `limit`.
    pub(super) async fn overdue(&self, limit: Duration) {
        let mut begun = self.begun.subscribe();
        loop {
            let oldest = *begun.borrow_and_update();
            let due = async {
                match oldest {
                    Some(begun) => tokio::time::sleep_until((begun + limit).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                // Cannot fail, because `self` owns the sender.
                _ = begun.changed() => {}
            }
        }
    }

    fn evict(&self, reason: Eviction) {
        *self.evicted.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.evict.notify_one();
    }

    fn idle_since(&self) -> Option<Instant> {
        let progress = self.progress();
        progress.responses.is_empty().then_some(progress.idle_since)
    }

    fn reads_any(&self, texts: &[TextId]) -> bool {
        self.progress()
            .responses
            .iter()
            .any(|response| response.text.is_some_and(|text| texts.contains(&text)))
    }

    fn publish(&self, progress: &Progress) {
        self.begun.send_replace(progress.responses.front().map(|oldest| oldest.begun));
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Responding {
    /// Records which text the response sends.
    pub(super) fn sends(&self, text: TextId) {
        let mut progress = self.connection.progress();
        let ours = progress.responses.iter_mut().find(|response| response.number == self.number);
        if let Some(ours) = ours {
            ours.text = Some(text);
        }
    }
}

impl Drop for Responding {
    fn drop(&mut self) {
        let mut progress = self.connection.progress();
        progress.responses.retain(|response| response.number != self.number);
        progress.idle_since = Instant::now();
        self.connection.publish(&progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(place: &Place) -> Option<Eviction> {
        *place.connection.evicted.lock().unwrap()
    }

    #[test]
    fn the_connection_that_was_idle_longest_is_evicted() {
        let table = Table::new();
        let places: Vec<_> = (0..3).map(|_| table.admit(3)).collect();
        let busy = places[0].connection.begin();
        // The second connection has been idle since its start, the third since the end of its response.
        drop(places[2].connection.begin());
        let new = table.admit(3);
        assert!(!new.connection.probes_only);
        assert_eq!(places.iter().map(is_evicted).collect::<Vec<_>>(), [None, Some(Eviction::Idle), None]);
        drop(busy);
    }

    #[test]
    fn when_all_connections_are_busy_new_ones_may_only_request_health_and_the_oldest_of_these_is_evicted() {
        let table = Table::new();
        let places: Vec<_> = (0..2).map(|_| table.admit(2)).collect();
        let _busy: Vec<_> = places.iter().map(|place| place.connection.begin()).collect();
        let probes: Vec<_> = (0..PROBE_CONNECTIONS + 1).map(|_| table.admit(2)).collect();
        assert!(probes.iter().all(|probe| probe.connection.probes_only));
        assert_eq!(is_evicted(&probes[0]), Some(Eviction::Idle));
        assert!(probes[1..].iter().all(|probe| is_evicted(probe).is_none()));
        assert_eq!(places.iter().map(is_evicted).collect::<Vec<_>>(), [None, None]);
        drop(places);
        assert!(!table.admit(2).connection.probes_only);
    }

    #[test]
    fn a_connection_with_a_long_running_response_is_evicted() {
        let table = Table::new();
        let place = table.admit(1);
        let _busy = place.connection.begin();
        place.connection.progress().responses[0].begun = Instant::now() - LEAST_RESPONSE_TIME * 2;
        place.connection.begun.send_replace(Some(Instant::now() - LEAST_RESPONSE_TIME * 2));
        assert!(!table.admit(1).connection.probes_only);
        assert_eq!(is_evicted(&place), Some(Eviction::Slow));
    }
}
