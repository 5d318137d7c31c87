//! All tracked containers: discovered by kernel events and tree walks, named from the [`MetadataStore`].
//!
//! Bookkeeping only: the tracker opens no files and no maps, so that the tick alone decides when to read.

mod entry;
mod names;
mod renames;
mod rows;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::entry::Entry;
use self::renames::Renames;
use super::{Moment, cgroup, metadata::MetadataStore};
use crate::snapshot::identity::{Identity, Runtime};
use crate::{
    config::Rename,
    snapshot::{ContainerRow, lifecycle::ContainerStatus, oom::OomKills},
};

/// A tracked container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Never reused while the agent runs. Collectors store their data of a container under this key.
    pub key: u64,
    /// The container's identity, as far as known.
    pub identity: Arc<Identity>,
    /// The cgroup ID: the inode number of the cgroup's directory in the hierarchy that is walked.
    pub cgroup_id: u64,
    /// The index of its counters in the kernel maps. `None` if the kernel counts it among the untracked ones.
    pub slot: Option<u32>,
}

/// A newly discovered container.
#[derive(Clone, Debug)]
pub struct Discovery<'a> {
    /// The container ID.
    pub id: &'a str,
    /// The runtime that created the container, according to the cgroup path.
    pub runtime: Runtime,
    /// The cgroup path.
    pub cgroup_path: &'a str,
    /// The cgroup ID.
    pub cgroup_id: u64,
    /// The slot, if there is one.
    pub slot: Option<u32>,
    /// When the cgroup was created, if known.
    pub made_at: Option<SystemTime>,
}

/// All live containers and the recently ended ones.
pub struct Tracker {
    metadata: MetadataStore,
    renames: Renames,
    keep_ended: Duration,
    most_ended: usize,
    entries: BTreeMap<u64, Entry>,
    /// Keys of live containers by cgroup ID.
    by_cgroup: HashMap<u64, u64>,
    /// Keys of all entries by container ID, in ascending order, so that a burst of starts does not search all
    /// tombstones.
    by_id: HashMap<String, Vec<u64>>,
    next_key: u64,
    names_seen: u64,
    statuses_seen: u64,
    stale_names: bool,
    dropped: u64,
}

impl Tracker {
    /// Creates an empty tracker. It keeps at most `most_ended` ended containers, even if they are recent.
    #[must_use]
    pub fn new(
        metadata: MetadataStore,
        rename: Vec<Rename>,
        keep_ended: Duration,
        most_ended: usize,
    ) -> Self {
        Self {
            metadata,
            renames: Renames::new(rename),
            keep_ended,
            most_ended,
            entries: BTreeMap::new(),
            by_cgroup: HashMap::new(),
            by_id: HashMap::new(),
            next_key: 1,
            names_seen: 0,
            statuses_seen: 0,
            stale_names: true,
            dropped: 0,
        }
    }

    /// Applies changed rename rules at the next [`name`](Self::name), and a changed time to keep ended containers at the
    /// next [`expire`](Self::expire).
    pub fn configure(&mut self, rename: &[Rename], keep_ended: Duration) {
        self.keep_ended = keep_ended;
        if self.renames.rules != rename {
            self.renames = Renames::new(rename.to_vec());
            self.stale_names = true;
        }
    }

    /// Frees memory that is left over from when the tables were larger.
    pub fn shrink(&mut self) {
        self.by_cgroup.shrink_to_fit();
        self.by_id.shrink_to_fit();
    }

    /// The live container of this cgroup; a cgroup nested in the container does not count.
    #[must_use]
    pub fn key_of_cgroup(&self, cgroup_id: u64) -> Option<u64> {
        self.by_cgroup.get(&cgroup_id).copied()
    }

    /// The live container with this ID and cgroup path.
    #[must_use]
    pub fn key_of(&self, id: &str, cgroup_path: &str) -> Option<u64> {
        let same = |entry: &&Entry| {
            entry.row.ended_at.is_none() && entry.container.identity.cgroup_path == cgroup_path
        };
        self.of_id(id).find(same).map(|entry| entry.container.key)
    }

    /// The live container with this ID.
    #[must_use]
    pub fn key_of_id(&self, id: &str) -> Option<u64> {
        self.of_id(id).find(|entry| entry.row.ended_at.is_none()).map(|entry| entry.container.key)
    }

    /// The entries with this ID, oldest first.
    fn of_id(&self, id: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        self.by_id.get(id).into_iter().flatten().filter_map(|key| self.entries.get(key))
    }

    /// Removes an entry from all tables.
    fn take(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        if entry.ended.is_none() {
            self.by_cgroup.remove(&entry.container.cgroup_id);
        }
        let id = &entry.container.identity.id;
        if let Some(keys) = self.by_id.get_mut(id) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_id.remove(id);
            }
        }
        Some(entry)
    }

    /// Starts to track a container. An ended container with the same ID is an earlier run: the new row replaces its
    /// row, and its counters are added to those of the new run.
    pub fn add(&mut self, discovery: &Discovery<'_>, now: Moment) -> u64 {
        let (mut row_before, mut path_is_proven) = (None, false);
        let (mut oom, mut status, mut earlier_runs, mut assigned, mut predecessor) =
            (OomKills::default(), ContainerStatus::default(), 0, None, None);
        let ended: Vec<_> = self
            .of_id(discovery.id)
            .filter(|entry| entry.row.ended_at.is_some())
            .map(|entry| entry.container.key)
            .collect();
        for entry in ended.into_iter().filter_map(|key| self.take(key)) {
            oom = OomKills { last_at: entry.row.oom.last_at, ..OomKills::default() };
            status = ContainerStatus { last_exit: entry.row.status.last_exit, ..ContainerStatus::default() };
            earlier_runs = entry.earlier_runs + 1;
            predecessor = entry.predecessor;
            path_is_proven |= entry.container.identity.cgroup_path == discovery.cgroup_path;
            row_before = Some((entry.totals(), entry.exit_placed));
            assigned = entry.assigned;
        }
        let (earlier, exit_placed) = row_before.unzip();
        let key = self.next_key;
        self.next_key += 1;
        let identity = Arc::new(Identity {
            id: discovery.id.to_owned(),
            cgroup_path: discovery.cgroup_path.to_owned(),
            parent_id: cgroup::container_around(discovery.cgroup_path).map(|outer| outer.id.to_owned()),
            runtime: discovery.runtime,
            started_at: discovery.made_at,
            ..Identity::default()
        });
        let entry = Entry {
            container: Container {
                key,
                identity: identity.clone(),
                cgroup_id: discovery.cgroup_id,
                slot: discovery.slot,
            },
            row: ContainerRow { key, oom, status, ..ContainerRow::new(identity, now.wall) },
            nested: HashSet::new(),
            first_seen: now.monotonic,
            ended: None,
            made_at: discovery.made_at,
            named: false,
            assigned,
            earlier_runs,
            path_is_proven,
            earlier: earlier.map(Arc::new),
            exit_placed: exit_placed.flatten(),
            predecessor,
            oom_counted_at: None,
            lookup_requested: false,
            report: self.metadata.run_report(discovery.id),
            competed: true,
            ran: true,
            populated: None,
            was_populated: false,
            final_snapshot: None,
        };
        self.entries.insert(key, entry);
        self.by_id.entry(discovery.id.to_owned()).or_default().push(key);
        self.metadata.cgroup_created(discovery.id);
        if discovery.cgroup_id != 0 {
            self.by_cgroup.insert(discovery.cgroup_id, key);
        }
        self.stale_names = true;
        key
    }

    /// Marks a container as ended. Its row keeps the values of its last reading.
    pub fn end(&mut self, key: u64, now: Moment) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.row.ended_at = Some(now.wall);
            entry.row.running = false;
            entry.ended = Some(now.monotonic);
            self.by_cgroup.remove(&entry.container.cgroup_id);
            self.metadata.cgroup_removed(&entry.container.identity.id);
            self.stale_names = true;
        }
    }

    /// Removes an entry that turned out not to be a container, with its row.
    pub fn untrack(&mut self, key: u64) {
        self.stale_names |= self.take(key).is_some();
    }

    /// The cgroup path of the last ended run of this ID, while its row is kept.
    #[must_use]
    pub fn path_before(&self, id: &str) -> Option<&str> {
        let before = |entry: &&Entry| entry.row.ended_at.is_some();
        self.of_id(id).rfind(before).map(|entry| entry.container.identity.cgroup_path.as_str())
    }

    /// The number of ended containers that were dropped before their final counters were scraped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Logs a warning, once per rule, for the user's rename rules that have not matched any container.
    pub fn warn_of_idle_renames(&mut self) {
        self.renames.warn_of_idle();
    }

    /// The entry with this key.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// The live containers.
    pub fn living(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().filter(|entry| entry.row.ended_at.is_none())
    }
}

#[cfg(test)]
mod tests;
