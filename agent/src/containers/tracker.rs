//! Which containers there are: built from kernel events and tree walks, named from the [`Directory`].
//!
//! Pure bookkeeping: it opens no files and knows no maps, so that the tick alone decides when to read.

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
use super::{Moment, cgroup, directory::Directory};
use crate::snapshot::identity::{Identity, Runtime};
use crate::{
    config::Rename,
    snapshot::{ContainerRow, lifecycle::Lifecycle, oom::OomKills},
};

/// A container that is tracked.
#[derive(Clone, Debug)]
pub struct Container {
    /// Never used twice in a run of the agent: collectors file what they hold for a container under it.
    pub key: u64,
    /// Who it is, as far as known by now.
    pub identity: Arc<Identity>,
    /// Its cgroup's id: the inode number of its directory in the hierarchy that is walked.
    pub cgroup_id: u64,
    /// The index of its counters in the kernel maps; `None` where the kernel counts it with the untracked.
    pub slot: Option<u32>,
}

/// A container that has just become known.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// The runtime's id.
    pub id: &'a str,
    /// What made it, as its path tells.
    pub runtime: Runtime,
    /// Its cgroup's path.
    pub cgroup_path: &'a str,
    /// Its cgroup's id.
    pub cgroup_id: u64,
    /// Its slot, if it has one.
    pub slot: Option<u32>,
    /// When its cgroup was made, as far as known.
    pub made_at: Option<SystemTime>,
}

/// All containers, living and lately ended.
pub struct Tracker {
    directory: Directory,
    renames: Renames,
    keep_ended: Duration,
    most_ended: usize,
    entries: BTreeMap<u64, Entry>,
    /// Keys of the living.
    by_cgroup: HashMap<u64, u64>,
    /// Keys of all entries, each list in ascending order. A storm of starts must not search through those that ended.
    by_id: HashMap<String, Vec<u64>>,
    next_key: u64,
    names_seen: u64,
    lives_seen: u64,
    stale_names: bool,
    dropped: u64,
}

impl Tracker {
    /// Tracks nothing yet. At most `most_ended` ended containers are kept, whatever their age.
    #[must_use]
    pub fn new(directory: Directory, rename: Vec<Rename>, keep_ended: Duration, most_ended: usize) -> Self {
        Self {
            directory,
            renames: Renames::new(rename),
            keep_ended,
            most_ended,
            entries: BTreeMap::new(),
            by_cgroup: HashMap::new(),
            by_id: HashMap::new(),
            next_key: 1,
            names_seen: 0,
            lives_seen: 0,
            stale_names: true,
            dropped: 0,
        }
    }

    /// Gives back memory that tables have kept from when they were larger.
    pub fn shrink(&mut self) {
        self.by_cgroup.shrink_to_fit();
        self.by_id.shrink_to_fit();
    }

    /// The living container whose own cgroup this is.
    #[must_use]
    pub fn key_of_cgroup(&self, cgroup_id: u64) -> Option<u64> {
        self.by_cgroup.get(&cgroup_id).copied()
    }

    /// The living container of that id and path.
    #[must_use]
    pub fn key_of(&self, id: &str, cgroup_path: &str) -> Option<u64> {
        let same = |entry: &&Entry| {
            entry.row.ended_at.is_none() && entry.container.identity.cgroup_path == cgroup_path
        };
        self.of_id(id).find(same).map(|entry| entry.container.key)
    }

    /// The living container of that id.
    #[must_use]
    pub fn key_of_id(&self, id: &str) -> Option<u64> {
        self.of_id(id).find(|entry| entry.row.ended_at.is_none()).map(|entry| entry.container.key)
    }

    /// The entries of one id, the oldest first.
    fn of_id(&self, id: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        self.by_id.get(id).into_iter().flatten().filter_map(|key| self.entries.get(key))
    }

    /// Takes an entry out of all tables.
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

    /// Begins to track a container. An ended one of the same id is its earlier run: its row makes way, and what it has
    /// counted is added to what the new one counts.
    pub fn add(&mut self, sighting: &Sighting<'_>, now: Moment) -> u64 {
        let (mut row_before, mut path_is_proven) = (None, false);
        let (mut oom, mut life, mut earlier_lives, mut assigned, mut predecessor) =
            (OomKills::default(), Lifecycle::default(), 0, None, None);
        let ended: Vec<_> = self
            .of_id(sighting.id)
            .filter(|entry| entry.row.ended_at.is_some())
            .map(|entry| entry.container.key)
            .collect();
        for entry in ended.into_iter().filter_map(|key| self.take(key)) {
            oom = OomKills { last_at: entry.row.oom.last_at, ..OomKills::default() };
            life = Lifecycle { last_exit: entry.row.life.last_exit, ..Lifecycle::default() };
            earlier_lives = entry.earlier_lives + 1;
            predecessor = entry.predecessor;
            path_is_proven |= entry.container.identity.cgroup_path == sighting.cgroup_path;
            row_before = Some((entry.totals(), entry.exit_placed));
            assigned = entry.assigned;
        }
        let (earlier, exit_placed) = row_before.unzip();
        let key = self.next_key;
        self.next_key += 1;
        let identity = Arc::new(Identity {
            id: sighting.id.to_owned(),
            cgroup_path: sighting.cgroup_path.to_owned(),
            parent_id: cgroup::container_around(sighting.cgroup_path).map(|outer| outer.id.to_owned()),
            runtime: sighting.runtime,
            started_at: sighting.made_at,
            ..Identity::default()
        });
        let entry = Entry {
            container: Container {
                key,
                identity: identity.clone(),
                cgroup_id: sighting.cgroup_id,
                slot: sighting.slot,
            },
            row: ContainerRow { key, oom, life, ..ContainerRow::new(identity, now.wall) },
            nested: HashSet::new(),
            first_seen: now.monotonic,
            ended: None,
            made_at: sighting.made_at,
            named: false,
            assigned,
            earlier_lives,
            path_is_proven,
            earlier: earlier.map(Arc::new),
            exit_placed: exit_placed.flatten(),
            predecessor,
            oom_seen: None,
            reported: false,
            report: self.directory.reported(sighting.id),
            competed: true,
            ran: true,
            populated: None,
            was_populated: false,
            final_snapshot: None,
        };
        self.entries.insert(key, entry);
        self.by_id.entry(sighting.id.to_owned()).or_default().push(key);
        self.directory.began(sighting.id);
        if sighting.cgroup_id != 0 {
            self.by_cgroup.insert(sighting.cgroup_id, key);
        }
        self.stale_names = true;
        key
    }

    /// The container has ended: its row stays as it was last read.
    pub fn end(&mut self, key: u64, now: Moment) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.row.ended_at = Some(now.wall);
            entry.row.running = false;
            entry.ended = Some(now.monotonic);
            self.by_cgroup.remove(&entry.container.cgroup_id);
            self.directory.ended(&entry.container.identity.id);
            self.stale_names = true;
        }
    }

    /// What was taken for a container is none: it leaves no row behind.
    pub fn disown(&mut self, key: u64) {
        self.stale_names |= self.take(key).is_some();
    }

    /// The cgroup path of the last run of this id that has ended, while its row is kept.
    #[must_use]
    pub fn path_before(&self, id: &str) -> Option<&str> {
        let before = |entry: &&Entry| entry.row.ended_at.is_some();
        self.of_id(id).rfind(before).map(|entry| entry.container.identity.cgroup_path.as_str())
    }

    /// Ended containers whose final counters were dropped before they were scraped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Warns of the user's rename rules that have matched no container, each once.
    pub fn warn_of_idle_renames(&mut self) {
        self.renames.warn_of_idle();
    }

    /// One entry.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// The living.
    pub fn living(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().filter(|entry| entry.row.ended_at.is_none())
    }
}

#[cfg(test)]
mod tests;
