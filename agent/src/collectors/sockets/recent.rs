//! The fullest accept queue of each container in the last minute.
//!
//! The kernel programs keep the maximum since user space cleared it. The value published is the maximum of the current
//! window and the one before, so that a scrape does not miss a short peak.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::snapshot::sockets::AcceptQueue;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(30);

/// The windows of all containers.
#[derive(Default)]
pub(super) struct RecentQueues(HashMap<u64, Window>);

struct Window {
    begun: Instant,
    before: AcceptQueue,
}

impl RecentQueues {
    /// Adds the maximum of the current window. Returns the recent maximum, and whether a new window begins, for which
    /// the caller clears the kernel's value.
    pub(super) fn add(
        &mut self,
        key: u64,
        current: AcceptQueue,
        now: Instant,
    ) -> (Option<AcceptQueue>, bool) {
        let first = || Window { begun: now, before: AcceptQueue::default() };
        let window = self.0.entry(key).or_insert_with(first);
        let fullest =
            if current.length >= window.before.length && current.limit > 0 { current } else { window.before };
        let is_over = now.duration_since(window.begun) >= WINDOW;
        if is_over {
            *window = Window { begun: now, before: current };
        }
        // An attempt always finds a queue with a limit of at least one.
        ((fullest.limit > 0).then_some(fullest), is_over)
    }

    pub(super) fn forget(&mut self, key: u64) {
        self.0.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_shown_for_one_more_window_and_then_forgotten() {
        let (mut queues, begun) = (RecentQueues::default(), Instant::now());
        let queue = |length| AcceptQueue { length, limit: 128 };
        let mut at = |second, queue| queues.add(1, queue, begun + Duration::from_secs(second));
        assert_eq!(at(0, AcceptQueue::default()), (None, false));
        assert_eq!(at(29, queue(7)), (Some(queue(7)), false));
        assert_eq!(at(30, queue(7)), (Some(queue(7)), true));
        assert_eq!(at(31, queue(2)), (Some(queue(7)), false));
        assert_eq!(at(60, queue(2)), (Some(queue(7)), true));
        assert_eq!(at(61, AcceptQueue::default()), (Some(queue(2)), false));
        assert_eq!(at(90, AcceptQueue::default()), (Some(queue(2)), true));
        assert_eq!(at(91, AcceptQueue::default()), (None, false));
    }
}
