//! Which containers there are: built from kernel events and tree walks, named from the [`Directory`].
//!
//! Pure bookkeeping: it opens no files and knows no maps, so that the tick alone decides when to read.

mod entry;
mod names;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::entry::Entry;
use super::{Identity, Runtime, directory::Directory};
use crate::{
    config::Rename,
    snapshot::{
        ContainerRow,
        lifecycle::{LastExit, Lifecycle},
        oom::OomKills,
    },
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

/// How long a container that no runtime has named yet is held back, so that it does not appear under its id first.
const WAIT_FOR_NAME: Duration = Duration::from_secs(1);

/// All containers, living and lately ended.
pub struct Tracker {
    directory: Directory,
    rename: Vec<Rename>,
    keep_ended: Duration,
    most_ended: usize,
    entries: BTreeMap<u64, Entry>,
    by_cgroup: HashMap<u64, u64>,
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
            rename,
            keep_ended,
            most_ended,
            entries: BTreeMap::new(),
            by_cgroup: HashMap::new(),
            next_key: 1,
            names_seen: 0,
            lives_seen: 0,
            stale_names: true,
            dropped: 0,
        }
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
            let identity = &entry.container.identity;
            entry.row.ended_at.is_none() && identity.id == id && identity.cgroup_path == cgroup_path
        };
        self.entries.values().find(same).map(|entry| entry.container.key)
    }

    /// Begins to track a container. An ended one of the same id is its earlier life: its row makes way.
    pub fn add(&mut self, sighting: &Sighting<'_>, now: SystemTime) -> u64 {
        let (mut oom, mut life, mut earlier_lives) = (OomKills::default(), Lifecycle::default(), 0);
        self.entries.retain(|_, entry| {
            let earlier = entry.row.ended_at.is_some() && entry.container.identity.id == sighting.id;
            if earlier {
                oom = entry.row.oom.reborn();
                life = Lifecycle { last_exit: entry.row.life.last_exit, ..Lifecycle::default() };
                earlier_lives = entry.earlier_lives + 1;
            }
            !earlier
        });
        let key = self.next_key;
        self.next_key += 1;
        let identity = Arc::new(Identity {
            id: sighting.id.to_owned(),
            cgroup_path: sighting.cgroup_path.to_owned(),
            runtime: sighting.runtime,
            name: String::new(),
            image: String::new(),
            container: String::new(),
            namespace: None,
            pod: None,
            labels: BTreeMap::new(),
            started_at: sighting.made_at,
        });
        let entry = Entry {
            container: Container {
                key,
                identity: identity.clone(),
                cgroup_id: sighting.cgroup_id,
                slot: sighting.slot,
            },
            row: ContainerRow { oom, life, ..ContainerRow::new(identity, now) },
            nested: HashSet::new(),
            first_seen: now,
            made_at: sighting.made_at,
            named: false,
            earlier_lives,
            predecessor: None,
            oom_seen: None,
            reported: false,
        };
        self.entries.insert(key, entry);
        self.directory.began(sighting.id);
        if sighting.cgroup_id != 0 {
            self.by_cgroup.insert(sighting.cgroup_id, key);
        }
        self.stale_names = true;
        key
    }

    /// The container has ended: its row stays as it was last read.
    pub fn end(&mut self, key: u64, now: SystemTime) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.row.ended_at = Some(now);
            self.by_cgroup.remove(&entry.container.cgroup_id);
            self.directory.ended(&entry.container.identity.id);
            self.stale_names = true;
        }
    }

    /// Drops ended containers that are too old or too many; a drop for number alone is counted.
    pub fn expire(&mut self, now: SystemTime) {
        let age = |entry: &Entry| entry.row.ended_at.map(|at| now.duration_since(at).unwrap_or_default());
        let before = self.entries.len();
        self.entries.retain(|_, entry| age(entry).is_none_or(|age| age < self.keep_ended));
        let ended: Vec<_> = self.entries.values().filter(|entry| entry.row.ended_at.is_some()).collect();
        // Keys grow with time, so the first are the oldest.
        let surplus = ended.len().saturating_sub(self.most_ended);
        let keys: Vec<_> = ended.iter().take(surplus).map(|entry| entry.container.key).collect();
        for key in keys {
            self.entries.remove(&key);
            self.dropped += 1;
        }
        self.stale_names |= self.entries.len() != before;
    }

    /// Ended containers dropped before their time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// One entry.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// The living.
    pub fn living(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().filter(|entry| entry.row.ended_at.is_none())
    }

    /// The rows to publish: all but those that a runtime may still name in a moment.
    #[must_use]
    pub fn rows(&self, now: SystemTime) -> Vec<ContainerRow> {
        let may_be_named = self.directory.may_learn();
        let waits = |entry: &Entry| {
            may_be_named
                && !entry.named
                && now.duration_since(entry.first_seen).unwrap_or_default() < WAIT_FOR_NAME
        };
        let recent = |exit: &LastExit| now.duration_since(exit.at).unwrap_or_default() < self.keep_ended;
        let rows = self.entries.values().filter(|entry| !waits(entry)).map(|entry| {
            let mut row = entry.row.clone();
            let before = || self.entries.get(&entry.predecessor?)?.row.life.last_exit;
            row.life.last_exit = row.life.last_exit.or_else(before).filter(recent);
            row
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
