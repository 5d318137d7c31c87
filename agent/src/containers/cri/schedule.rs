//! When to list a runtime's containers again. A container that the agent discovers before the runtime has reported it
//! leads to a listing as soon as possible and to two more later, because a runtime lists a pod's sandbox only when the
//! sandbox is complete. Exits that were missed lead to one listing. There is at most one listing per [`LISTING_PAUSE`].

use std::{collections::VecDeque, iter, time::Duration};

use tokio::time::Instant;

/// Minimum time between two listings.
const LISTING_PAUSE: Duration = Duration::from_secs(1);
/// Delays of the later listings that a discovery triggers, counted from the first one.
const LATER_LISTINGS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// The listings that are due, and when the last one completed.
pub(super) struct ListingSchedule {
    last: Instant,
    /// Earliest first.
    due: VecDeque<Instant>,
}

impl ListingSchedule {
    /// Creates a schedule without due listings, because a listing has just completed.
    pub(super) fn just_listed() -> Self {
        Self { last: Instant::now(), due: VecDeque::new() }
    }

    /// When the next listing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.front().copied()
    }

    /// Replaces all due listings with those that a discovery triggers.
    pub(super) fn after_discovery(&mut self) {
        let first = self.earliest();
        self.due = iter::once(first).chain(LATER_LISTINGS.map(|later| first + later)).collect();
    }

    /// Adds a listing as soon as possible.
    pub(super) fn soon(&mut self) {
        let next = self.earliest();
        self.due.retain(|at| *at > next);
        self.due.push_front(next);
    }

    /// Records that the listing that was due has completed.
    pub(super) fn listed(&mut self) {
        self.due.pop_front();
        self.last = Instant::now();
    }

    fn earliest(&self) -> Instant {
        (self.last + LISTING_PAUSE).max(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses before the listings that are due, in seconds since the last one.
    fn pauses_s(schedule: &ListingSchedule) -> Vec<u64> {
        schedule.due.iter().map(|at| (*at - schedule.last).as_secs()).collect()
    }

    #[test]
    fn any_number_of_discoveries_leads_to_three_listings() {
        let mut schedule = ListingSchedule::just_listed();
        assert_eq!(schedule.next(), None);
        for _ in 0..100 {
            schedule.after_discovery();
        }
        assert_eq!(pauses_s(&schedule), [1, 3, 11]);
    }

    #[test]
    fn missed_exits_lead_to_one_listing_and_leave_the_later_ones() {
        let mut schedule = ListingSchedule::just_listed();
        schedule.soon();
        schedule.soon();
        assert_eq!(pauses_s(&schedule), [1]);
        schedule.after_discovery();
        schedule.soon();
        assert_eq!(pauses_s(&schedule), [1, 3, 11]);
    }

    #[test]
    fn the_pause_counts_from_the_last_listing() {
        let mut schedule = ListingSchedule::just_listed();
        schedule.last -= Duration::from_secs(60);
        schedule.soon();
        assert!(schedule.next().is_some_and(|at| at <= Instant::now()), "at once");
        schedule.listed();
        assert_eq!(schedule.next(), None);
        schedule.soon();
        assert_eq!(pauses_s(&schedule), [1]);
    }
}
