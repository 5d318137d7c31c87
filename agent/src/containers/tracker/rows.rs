//! Turns entries into published rows, and limits how long the rows of ended containers are kept.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{Entry, Tracker};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Totals},
};

/// How long a container without metadata is held back, so that it does not first appear under its ID.
const WAIT_FOR_NAME: Duration = Duration::from_secs(1);
/// Final counters that were not scraped are kept for at least this long, even if `containers.keep_ended_s` is shorter.
const KEEP_UNSCRAPED: Duration = Duration::from_secs(60);

impl Entry {
    /// The counters of this run and of earlier runs.
    pub(super) fn totals(&self) -> Totals {
        let mut row = self.row.clone();
        row.settle();
        self.earlier.iter().for_each(|earlier| earlier.add_to(&mut row));
        Totals::of(&row)
    }

    fn ended_for(&self, now: Instant) -> Option<Duration> {
        self.ended.map(|ended| now.saturating_duration_since(ended))
    }

    /// True once a snapshot with the final counters was given to a scraper.
    fn is_scraped(&self, scraped: u64) -> bool {
        self.final_snapshot.is_some_and(|number| number <= scraped)
    }
}

impl Tracker {
    /// Drops ended containers that are too old or too many. `scraped` is the number of the last snapshot that was given
    /// to a scraper, 0 before the first. If there are too many, those with scraped final counters are dropped first.
    /// Dropping others is counted as a loss, unless there is no scraper.
    pub fn expire(&mut self, now: Moment, scraped: u64) {
        let before = self.entries.len();
        let keep_ended = self.keep_ended;
        let is_old = |entry: &&Entry| {
            let keep = if entry.is_scraped(scraped) { keep_ended } else { keep_ended.max(KEEP_UNSCRAPED) };
            entry.ended_for(now.monotonic).is_some_and(|age| age >= keep)
        };
        let old: Vec<_> = self.entries.values().filter(is_old).map(|entry| entry.container.key).collect();
        for key in old {
            self.take(key);
        }
        let ended = self.entries.values().filter(|entry| entry.ended.is_some());
        // Keys grow with time, so the lowest are the oldest.
        let mut ended: Vec<_> =
            ended.map(|entry| (Reverse(entry.is_scraped(scraped)), entry.container.key)).collect();
        let surplus = ended.len().saturating_sub(self.most_ended);
        if surplus > 0 {
            ended.sort_unstable();
        }
        for (Reverse(is_scraped), key) in ended.into_iter().take(surplus) {
            self.take(key);
            self.dropped += u64::from(!is_scraped && scraped > 0);
        }
        self.stale_names |= self.entries.len() != before;
    }

    /// The number of running containers.
    #[must_use]
    pub fn running(&self) -> usize {
        self.entries.values().filter(|entry| entry.row.is_running()).count()
    }

    /// The rows to publish in the snapshot with this number: all except those that may still get their names in a
    /// moment.
    #[must_use]
    pub fn rows(&mut self, now: Moment, number: u64) -> Vec<ContainerRow> {
        let (may_be_named, keep_ended) = (self.metadata.may_learn(), self.keep_ended);
        let waits = |entry: &Entry| {
            may_be_named
                && !entry.named
                && now.monotonic.saturating_duration_since(entry.first_seen) < WAIT_FOR_NAME
        };
        for entry in self.entries.values_mut().filter(|entry| entry.ended.is_some() && !waits(entry)) {
            entry.final_snapshot.get_or_insert(number);
        }
        let recent = |entry: &Entry| {
            let placed = entry.exit_placed.filter(|_| entry.row.status.last_exit.is_some());
            placed.is_some_and(|(_, at)| now.monotonic.saturating_duration_since(at) < keep_ended)
        };
        let rows = self.entries.values().filter(|entry| !waits(entry)).map(|entry| {
            let mut row = entry.row.clone();
            row.settle();
            row.earlier.clone_from(&entry.earlier);
            row.ended_ago = entry.ended_for(now.monotonic);
            let before = || self.entries.get(&entry.predecessor?);
            let exits = if row.status.last_exit.is_some() { Some(entry) } else { before() };
            row.status.last_exit =
                exits.filter(|entry| recent(entry)).and_then(|entry| entry.row.status.last_exit);
            row
        });
        rows.collect()
    }
}
