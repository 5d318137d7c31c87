//! What the runtimes report about containers: a map from container ID to metadata. The tasks that watch the runtimes
//! write it, and the tick reads it. It does not determine which containers exist; only cgroups do.
//!
//! Bounded: at most [`ENTRIES_MAX`] entries of limited size. Entries of removed containers stay for [`TOMBSTONE_TTL`],
//! so that a container that exited before the next tick still gets its name.

mod cgroups;
mod entries;
mod exits;
mod fields;
mod source;
mod unresolved;

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
    entries::{Entries, Entry},
    exits::Exits,
    fields::{IMAGE_BYTES, NAME_BYTES, cut},
    source::Registered,
};
pub use self::{
    fields::Metadata,
    unresolved::{Discoveries, Unresolved},
};
use super::{layers::Layers, lifecycle::ReportedStatus, source::Source};
use crate::snapshot::lifecycle::ContainerState;

/// Maximum number of entries.
pub const ENTRIES_MAX: usize = 8192;
/// How long the entry of a removed container is kept.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(600);

/// Whether a container runs, according to its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunReport {
    /// It runs or is paused.
    Running,
    /// It does not run and will be started.
    NotYet,
    /// It has exited or was removed.
    Ended,
    /// No runtime reports a state.
    Unknown,
}

/// The metadata store. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct MetadataStore(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    generation: AtomicU64,
    status_generation: AtomicU64,
    cgroups_generation: AtomicU64,
    entries: Mutex<Entries>,
    runtimes: Mutex<Vec<Registered>>,
    unresolved: Mutex<VecDeque<Unresolved>>,
    discoveries: watch::Sender<Discoveries>,
    exits: Exits,
    /// True if runtimes have left files that may contain metadata.
    files: AtomicBool,
    layers: Layers,
}

impl MetadataStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a container, or replaces its metadata. Does nothing if a source with precedence reports the container.
    pub fn put(&self, id: &str, names: Metadata) {
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
        let reported = names.cgroup_path.is_some();
        let entry = Entry { names, removed_at: None, arrival: entries.arrivals };
        let before = entries.by_id.insert(id.to_owned(), entry);
        self.changed();
        if reported || before.is_some_and(|before| before.names.cgroup_path.is_some()) {
            self.cgroups_changed();
        }
    }

    /// Records that the container was renamed.
    pub fn update_name(&self, id: &str, name: &str) {
        self.update(id, |names| {
            names.name = cut(name.trim_start_matches('/'), NAME_BYTES);
        });
    }

    /// Sets the image as the user wrote it, which may be known only later.
    pub fn update_image(&self, id: &str, image: &str) {
        self.update(id, |names| names.image = cut(image, IMAGE_BYTES));
    }

    /// Adds labels that were not known before, if `filter` accepts them.
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

    /// Records that the container's main process was started.
    pub fn set_started_at(&self, id: &str, started_at: SystemTime) {
        let mut reported = false;
        self.update(id, |names| {
            reported = names.cgroup_path.is_some() && names.started_at != Some(started_at);
            names.started_at = Some(started_at);
        });
        if reported {
            // The cgroup now exists, possibly again.
            self.cgroups_changed();
        }
    }

    /// Changes the reported status of a container.
    pub fn update_status(&self, id: &str, change: impl FnOnce(&mut ReportedStatus)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.status;
            change(&mut entry.names.status);
            if entry.names.status != before {
                self.statuses_changed();
            }
        }
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Metadata)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.clone();
            change(&mut entry.names);
            if entry.names != before {
                self.changed();
            }
        }
    }

    /// Records that the container was removed. Its entry stays for [`TOMBSTONE_TTL`].
    pub fn remove(&self, id: &str) {
        self.entries().remove(id, Instant::now());
        self.statuses_changed();
    }

    /// Removes the containers of `source` for which `keep` is false. Used after a complete listing.
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
            self.statuses_changed();
        }
    }

    /// Drops expired entries, and frees memory that is left over from when the tables were larger.
    pub fn shrink(&self) {
        let mut entries = self.entries();
        entries.expire(Instant::now());
        entries.by_id.shrink_to_fit();
        entries.removed.shrink_to_fit();
    }

    /// The metadata of a container.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Metadata> {
        let mut entries = self.entries();
        entries.expire(Instant::now());
        entries.by_id.get(id).map(|entry| entry.names.clone())
    }

    /// The reported status of a container.
    #[must_use]
    pub fn status(&self, id: &str) -> Option<ReportedStatus> {
        self.entries().by_id.get(id).map(|entry| entry.names.status)
    }

    /// Whether a container runs, according to its runtime.
    #[must_use]
    pub fn run_report(&self, id: &str) -> RunReport {
        match self.entries().by_id.get(id) {
            None => RunReport::Unknown,
            // Files do not show whether a container runs.
            Some(entry) if entry.names.source.is_files() => RunReport::Unknown,
            Some(entry) if entry.removed_at.is_some() => RunReport::Ended,
            Some(entry) => match entry.names.status.state {
                Some(ContainerState::Running | ContainerState::Paused) => RunReport::Running,
                Some(ContainerState::Exited | ContainerState::Dead) => RunReport::Ended,
                Some(ContainerState::Created | ContainerState::Restarting) => RunReport::NotYet,
                None => RunReport::Unknown,
            },
        }
    }

    /// True if the metadata of the container comes from `source`. Updates from other sources are ignored.
    #[must_use]
    pub fn is_reported_by(&self, source: Source, id: &str) -> bool {
        self.entries().by_id.get(id).is_some_and(|entry| entry.names.source == source)
    }

    /// True if a runtime reports the container and has not removed it.
    #[must_use]
    pub fn is_present(&self, id: &str) -> bool {
        self.entries().by_id.get(id).is_some_and(|entry| entry.removed_at.is_none())
    }

    /// A number that changes whenever the result of [`get`](Self::get) changes, except if an entry expires or makes
    /// room for another one. Takes no lock.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The same for changes by [`update_status`](Self::update_status), which are far more frequent and do not affect
    /// names.
    #[must_use]
    pub fn status_generation(&self) -> u64 {
        self.0.status_generation.load(Ordering::Acquire)
    }

    /// Records that the cgroup of the container appeared, possibly again.
    pub fn cgroup_created(&self, id: &str) {
        if let Some(entry) = self.entries().by_id.get_mut(id).filter(|entry| entry.names.source.is_files()) {
            entry.removed_at = None;
        }
    }

    /// Records that the cgroup of the container is gone. Metadata from files is marked as removed, because no runtime
    /// will report the removal. The clients of runtimes are notified, so that they can query the exit.
    pub fn cgroup_removed(&self, id: &str) {
        let mut entries = self.entries();
        let Some(entry) = entries.by_id.get(id) else { return };
        if entry.names.source.is_files() {
            entries.remove(id, Instant::now());
        } else {
            self.0.exits.send(id);
        }
    }

    /// The reported sizes of writable layers.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.0.layers
    }

    fn statuses_changed(&self) {
        self.0.status_generation.fetch_add(1, Ordering::Release);
    }

    fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    // Related fields change without a panic in between, so the data of a poisoned lock is consistent.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
