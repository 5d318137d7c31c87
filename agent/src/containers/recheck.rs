//! A queue of containers to be queried. Each container is queued once, and is queried shortly after its last change.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The delay of a query. If the container exits or is removed meanwhile, the query is not needed; a container that
/// restarts in a loop is queried at most at this interval.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Pauses before a query is repeated if the response did not contain the expected data yet.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A pending query about one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: String,
    /// The query is about the exit of the container, not only about its running state.
    pub(super) about_exit: bool,
    /// How often the query was repeated.
    tries: usize,
}

/// The pending queries, earliest first. Bounded by the number of known containers.
#[derive(Default)]
pub(super) struct RecheckQueue(VecDeque<(Instant, Query)>);

impl RecheckQueue {
    /// Creates a queue with queries that are due at once.
    pub(super) fn now(ids: impl IntoIterator<Item = String>) -> Self {
        let now = Instant::now();
        Self(ids.into_iter().map(|id| (now, Query { id, about_exit: false, tries: 0 })).collect())
    }

    /// Adds a query that is due after [`DEBOUNCE`], or updates the one that is pending.
    pub(super) fn soon(&mut self, id: String, about_exit: bool) {
        if let Some((_, waiting)) = self.0.iter_mut().find(|(_, waiting)| waiting.id == id) {
            waiting.about_exit |= about_exit;
        } else {
            self.enter(Instant::now() + DEBOUNCE, Query { id, about_exit, tries: 0 });
        }
    }

    /// Repeats a query later, unless it was repeated often enough.
    pub(super) fn again(&mut self, question: Query) {
        let waits = self.0.iter().any(|(_, waiting)| waiting.id == question.id);
        if let Some(pause) = RETRY_DELAYS.get(question.tries).filter(|_| !waits) {
            let tries = question.tries + 1;
            self.enter(Instant::now() + *pause, Query { tries, ..question });
        }
    }

    fn enter(&mut self, at: Instant, question: Query) {
        let place = self.0.partition_point(|(before, _)| *before <= at);
        self.0.insert(place, (at, question));
    }

    /// When the next query is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// Removes the next query and returns it, if it is due.
    pub(super) fn next(&mut self) -> Option<Query> {
        self.0.pop_front_if(|(at, _)| *at <= Instant::now()).map(|(_, question)| question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokio_time(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_container_is_queried_once_after_any_number_of_changes() {
        tokio_time(async {
            let mut due = RecheckQueue::default();
            for _ in 0..100 {
                due.soon("a".into(), false);
            }
            due.soon("a".into(), true);
            assert_eq!(due.next(), None, "not due at once");
            tokio::time::sleep_until(due.at().unwrap()).await;
            let question = due.next().unwrap();
            assert!(question.about_exit, "the query includes the exit");
            assert_eq!((due.next(), due.at()), (None, None));
        });
    }

    #[test]
    fn an_incomplete_query_is_repeated_twice_with_growing_pauses() {
        tokio_time(async {
            let mut due = RecheckQueue::now(["a".to_owned()]);
            let mut question = due.next().unwrap();
            let mut pauses = Vec::new();
            loop {
                let before = Instant::now();
                due.again(question.clone());
                due.again(question.clone());
                let Some((at, waiting)) = due.0.pop_front() else { break };
                pauses.push((at - before).as_secs());
                question = waiting;
            }
            assert_eq!(pauses, [2, 10]);
        });
    }

    #[test]
    fn the_earliest_query_comes_first() {
        tokio_time(async {
            let mut due = RecheckQueue::now(["late".to_owned()]);
            let late = due.next().unwrap();
            due.again(late);
            due.soon("early".into(), false);
            assert_eq!(
                due.0.iter().map(|(_, question)| question.id.as_str()).collect::<Vec<_>>(),
                ["early", "late"]
            );
        });
    }
}
