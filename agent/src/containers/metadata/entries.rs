//! The entries, with the rules for replacing and dropping them. Bounded by [`ENTRIES_MAX`].

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use super::{ENTRIES_MAX, Metadata, TOMBSTONE_TTL};
use crate::containers::source::Source;

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) by_id: HashMap<String, Entry>,
    /// The IDs of removed containers, oldest first. An ID that was added again since is skipped.
    pub(super) removed: VecDeque<(Instant, String)>,
    /// Counts entries, to number them in their order of arrival.
    pub(super) arrivals: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) names: Metadata,
    pub(super) removed_at: Option<Instant>,
    pub(super) arrival: u64,
}

impl Entry {
    /// True if `source` may replace this entry: it is the same source, or it has precedence, or the entry was removed.
    pub(super) fn yields_to(&self, source: Source) -> bool {
        let ours = self.names.source;
        ours == source || self.removed_at.is_some() || (ours.is_files() && !source.is_files())
    }
}

impl Entries {
    pub(super) fn remove(&mut self, id: &str, now: Instant) {
        if let Some(entry) = self.by_id.get_mut(id).filter(|entry| entry.removed_at.is_none()) {
            entry.removed_at = Some(now);
            self.removed.push_back((now, id.to_owned()));
        }
        self.expire(now);
    }

    /// Drops entries that were removed more than [`TOMBSTONE_TTL`] ago.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.removed.front().is_some_and(|(at, _)| now.duration_since(*at) >= TOMBSTONE_TTL) {
            self.drop_oldest_removed();
        }
    }

    /// Makes room for one more entry: removed entries are dropped first, oldest first, then the oldest entry of the
    /// source that has the most entries. So a source with very many containers only displaces its own.
    pub(super) fn make_room(&mut self) {
        while self.by_id.len() >= ENTRIES_MAX {
            if self.drop_oldest_removed() {
                continue;
            }
            let mut counts: HashMap<Source, usize> = HashMap::new();
            for entry in self.by_id.values() {
                *counts.entry(entry.names.source).or_default() += 1;
            }
            let Some((largest, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return };
            let of_largest = self.by_id.iter().filter(|(_, entry)| entry.names.source == largest);
            let oldest = of_largest.min_by_key(|(_, entry)| entry.arrival).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.by_id.remove(&oldest);
        }
    }

    /// False if no removed entry is left.
    fn drop_oldest_removed(&mut self) -> bool {
        let Some((at, id)) = self.removed.pop_front() else {
            return false;
        };
        if self.by_id.get(&id).is_some_and(|entry| entry.removed_at == Some(at)) {
            self.by_id.remove(&id);
        }
        true
    }
}
