//! Bounded memories of jobs: those that have ended, and messages about jobs that are not known yet.

use std::collections::{HashSet, VecDeque};

use super::{event::EventId, message::Kind};

/// Maximum number of remembered ends.
pub(super) const ENDED_MAX: usize = 4096;
/// Maximum number of jobs with early messages, and of messages of each.
const EARLY_JOBS_MAX: usize = 64;
const EARLY_MESSAGES_MAX: usize = 4;
/// The response with the job's ID follows its first message at once, if at all.
const EARLY_NS: u64 = 2_000_000_000;

/// The jobs that ended last: the first end of a job counts, and all that is reported about it later does not.
#[derive(Debug, Default)]
pub(super) struct Ended {
    order: VecDeque<EventId>,
    ids: HashSet<EventId>,
}

impl Ended {
    pub(super) fn contains(&self, id: EventId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn insert(&mut self, id: EventId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > ENDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Messages about unknown jobs. If a client has a stream already, the first message about a job can overtake the
/// response to its request.
#[derive(Debug, Default)]
pub(super) struct Early(VecDeque<(EventId, Vec<(u64, Kind)>)>);

impl Early {
    /// Keeps a message. Returns the number of messages that were dropped for it.
    pub(super) fn insert(&mut self, id: EventId, at_ns: u64, kind: Kind) -> u64 {
        if let Some((_, messages)) = self.0.iter_mut().find(|(known, _)| *known == id) {
            if messages.len() == EARLY_MESSAGES_MAX {
                return 1;
            }
            messages.push((at_ns, kind));
            return 0;
        }
        let dropped = if self.0.len() == EARLY_JOBS_MAX { self.0.pop_front() } else { None };
        self.0.push_back((id, vec![(at_ns, kind)]));
        dropped.map_or(0, |(_, messages)| messages.len() as u64)
    }

    /// Removes the messages of a job that has become known.
    pub(super) fn take(&mut self, id: EventId) -> Vec<(u64, Kind)> {
        let position = self.0.iter().position(|(known, _)| *known == id);
        position
            .and_then(|position| self.0.remove(position))
            .map(|(_, messages)| messages)
            .unwrap_or_default()
    }

    /// Removes messages that were not early: their job remained unknown. Returns their number.
    pub(super) fn expire(&mut self, now_ns: u64) -> u64 {
        let mut dropped = 0;
        self.0.retain(|(_, messages)| {
            let first_ns = messages.first().map_or(0, |(at_ns, _)| *at_ns);
            let is_due = now_ns.saturating_sub(first_ns) > EARLY_NS;
            dropped += if is_due { messages.len() as u64 } else { 0 };
            !is_due
        });
        dropped
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> EventId {
        EventId::parse(format!("{number:032x}").as_bytes()).unwrap()
    }

    #[test]
    fn the_last_ends_are_remembered() {
        let mut ended = Ended::default();
        for number in 0..3 * ENDED_MAX {
            ended.insert(id(number));
            ended.insert(id(number));
        }
        assert_eq!((ended.len(), ended.order.len()), (ENDED_MAX, ENDED_MAX));
        assert!(ended.contains(id(2 * ENDED_MAX)) && !ended.contains(id(2 * ENDED_MAX - 1)));
    }

    #[test]
    fn every_early_message_is_returned_once_or_counted() {
        let mut early = Early::default();
        let mut dropped = 0;
        for number in 0..100 {
            for _ in 0..6 {
                dropped += early.insert(id(number), number as u64, Kind::Starts);
            }
        }
        let taken = early.take(id(99)).len() as u64;
        assert_eq!((taken, early.take(id(99)).len()), (4, 0));
        assert_eq!(early.expire(98), 0);
        dropped += early.expire(EARLY_NS + 50);
        dropped += early.expire(u64::MAX);
        assert_eq!((dropped + taken, early.len()), (600, 0));
    }
}
