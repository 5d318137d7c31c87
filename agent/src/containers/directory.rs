//! What the runtimes tell of containers: an address book from id to names, shared between the tasks that
//! follow the runtimes (writers) and the tick (reader). Unlike the containers themselves, which only the
//! cgroups make known.
//!
//! Bounded: [`ENTRIES_MAX`] entries, each cut to size. Entries of removed containers stay for [`LINGER`], so
//! that a container that died before the tick came round can still be named.

mod cgroups;
mod endings;
mod entries;
mod names;
mod source;
mod unnamed;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use self::{
    endings::Endings,
    entries::{Entries, Entry},
    names::{IMAGE_BYTES, NAME_BYTES, cut},
    source::Registered,
};
pub use self::{
    names::Names,
    unnamed::{Sightings, Unnamed},
};
use super::{layers::Layers, lifecycle::Life, source::Source};
use crate::snapshot::lifecycle::State;

/// Most entries.
pub const ENTRIES_MAX: usize = 8192;
/// How long an entry stays after its container was removed.
pub const LINGER: Duration = Duration::from_secs(600);

/// Whether a container runs, by its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It runs, or is paused.
    Running,
    /// It does not run, and is about to be started.
    NotYet,
    /// It has ended, or was removed.
    Ended,
    /// No runtime says.
    Unknown,
}

/// The address book. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    generation: AtomicU64,
    lives_generation: AtomicU64,
    cgroups_generation: AtomicU64,
    entries: Mutex<Entries>,
    runtimes: Mutex<Vec<Registered>>,
    unnamed: Mutex<VecDeque<Unnamed>>,
    sightings: watch::Sender<Sightings>,
    endings: Endings,
    /// True where runtimes have left files that may name a container.
    files: AtomicBool,
    layers: Layers,
}

impl Directory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a container, or replaces what is known of it. Does nothing where another source vouches for it.
    pub fn put(&self, id: &str, names: Names) {
        if id.len() > NAME_BYTES {
            return;
        }
        let mut entries = self.entries();
        entries.expire(Instant::now());
        if entries.by_id.get(id).is_some_and(|entry| !entry.yields_to(names.source)) {
            return;
        }
        if !entries.by_id.contains_key(id) {
            entries.make_room();
        }
        entries.arrivals += 1;
        let told = names.cgroup_path.is_some();
        let entry = Entry { names, removed_at: None, arrival: entries.arrivals };
        let before = entries.by_id.insert(id.to_owned(), entry);
        self.changed();
        if told || before.is_some_and(|before| before.names.cgroup_path.is_some()) {
            self.cgroups_changed();
        }
    }

    /// The container has another name now.
    pub fn update_name(&self, id: &str, name: &str) {
        self.update(id, |names| {
            names.name = cut(name.trim_start_matches('/'), NAME_BYTES);
        });
    }

    /// The image as the user wrote it, where it was known less well before.
    pub fn update_image(&self, id: &str, image: &str) {
        self.update(id, |names| names.image = cut(image, IMAGE_BYTES));
    }

    /// Labels that were not known before; those that `filter` lets through are kept.
    pub fn add_labels<'a>(
        &self,
        id: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        filter: &[String],
    ) {
        self.update(id, |names| {
            labels.into_iter().for_each(|(key, value)| names.add_label(key, value, filter));
        });
    }

    /// The container's main process was started.
    pub fn set_started_at(&self, id: &str, started_at: SystemTime) {
        let mut told = false;
        self.update(id, |names| {
            told = names.cgroup_path.is_some() && names.started_at != Some(started_at);
            names.started_at = Some(started_at);
        });
        if told {
            // It is there from now on, maybe not for the first time.
            self.cgroups_changed();
        }
    }

    /// Something happened to the container.
    pub fn update_life(&self, id: &str, change: impl FnOnce(&mut Life)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.life;
            change(&mut entry.names.life);
            if entry.names.life != before {
                self.lives_changed();
            }
        }
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Names)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.clone();
            change(&mut entry.names);
            if entry.names != before {
                self.changed();
            }
        }
    }

    /// The container was removed. Its entry stays for [`LINGER`].
    pub fn remove(&self, id: &str) {
        self.entries().remove(id, Instant::now());
        self.lives_changed();
    }

    /// Removes all containers of `source` but those that `keep` wants: after a listing, which tells of all.
    pub fn retain(&self, source: impl Into<Source>, keep: impl Fn(&str) -> bool) {
        let source = source.into();
        let mut entries = self.entries();
        let stale = entries.by_id.iter().filter(|(id, entry)| entry.names.source == source && !keep(id));
        let stale: Vec<String> = stale.map(|(id, _)| id.clone()).collect();
        for id in &stale {
            entries.remove(id, Instant::now());
        }
        drop(entries);
        if !stale.is_empty() {
            self.lives_changed();
        }
    }

    /// Forgets what was removed long ago, and gives back memory that tables have kept from when they were larger.
    pub fn shrink(&self) {
        let mut entries = self.entries();
        entries.expire(Instant::now());
        entries.by_id.shrink_to_fit();
        entries.removed.shrink_to_fit();
    }

    /// What is known of a container.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Names> {
        let mut entries = self.entries();
        entries.expire(Instant::now());
        entries.by_id.get(id).map(|entry| entry.names.clone())
    }

    /// How a container fares, as far as known.
    #[must_use]
    pub fn life(&self, id: &str) -> Option<Life> {
        self.entries().by_id.get(id).map(|entry| entry.names.life)
    }

    /// Whether a container runs, as far as a runtime reports it.
    #[must_use]
    pub fn reported(&self, id: &str) -> Reported {
        match self.entries().by_id.get(id) {
            None => Reported::Unknown,
            // Files that go with the cgroup say nothing about it.
            Some(entry) if entry.names.source.is_files() => Reported::Unknown,
            Some(entry) if entry.removed_at.is_some() => Reported::Ended,
            Some(entry) => match entry.names.life.state {
                Some(State::Running | State::Paused) => Reported::Running,
                Some(State::Exited | State::Dead) => Reported::Ended,
                Some(State::Created | State::Restarting) => Reported::NotYet,
                None => Reported::Unknown,
            },
        }
    }

    /// True where `source` told of the container. What others say of it is nobody's business.
    #[must_use]
    pub fn is_told_by(&self, source: Source, id: &str) -> bool {
        self.entries().by_id.get(id).is_some_and(|entry| entry.names.source == source)
    }

    /// True where a runtime knows the container, and has not removed it.
    #[must_use]
    pub fn is_present(&self, id: &str) -> bool {
        self.entries().by_id.get(id).is_some_and(|entry| entry.removed_at.is_none())
    }

    /// A number that changes whenever what [`get`](Self::get) tells changes, but for entries that go because
    /// they are old or too many. Takes no lock.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The same for what [`update_life`](Self::update_life) changes: it happens far more often, and names stay.
    #[must_use]
    pub fn lives_generation(&self) -> u64 {
        self.0.lives_generation.load(Ordering::Acquire)
    }

    /// The container has begun, maybe not for the first time.
    pub fn began(&self, id: &str) {
        if let Some(entry) = self.entries().by_id.get_mut(id).filter(|entry| entry.names.source.is_files()) {
            entry.removed_at = None;
        }
    }

    /// The container's cgroup is gone. What files told of it goes like what was removed: nobody else would say so. Who
    /// asks a runtime can ask how it ended.
    pub fn ended(&self, id: &str) {
        let mut entries = self.entries();
        let Some(entry) = entries.by_id.get(id) else { return };
        if entry.names.source.is_files() {
            entries.remove(id, Instant::now());
        } else {
            self.0.endings.tell(id);
        }
    }

    /// What runtimes tell of writable layers.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.0.layers
    }

    fn lives_changed(&self) {
        self.0.lives_generation.fetch_add(1, Ordering::Release);
    }

    fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    // No writer panics between two changes that belong together, so a poisoned lock holds sound data.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
