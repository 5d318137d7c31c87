//! Which containers there are: built from kernel events and tree walks, named from the [`Directory`].
//!
//! Pure bookkeeping: it opens no files and knows no maps, so that the tick alone decides when to read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Identity, Runtime,
    directory::{Directory, Names, Unnamed},
    lifecycle::{self, Life, Tracked},
    naming::{self, Candidate},
};
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

/// A tracked container with its row.
#[derive(Debug)]
pub struct Entry {
    /// The container.
    pub container: Container,
    /// What is known of it.
    pub row: ContainerRow,
    /// Cgroups nested in it that were entered into the found table.
    pub nested: Vec<u64>,
    first_seen: SystemTime,
    made_at: Option<SystemTime>,
    named: bool,
    /// Whether the directory was told that nobody knows its name.
    reported: bool,
    /// Lives of the same id before this one.
    earlier_lives: u64,
    /// The last OOM kill that is in what is told of its life.
    oom_seen: Option<SystemTime>,
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
            nested: Vec::new(),
            first_seen: now,
            made_at: sighting.made_at,
            named: false,
            reported: false,
            earlier_lives,
            oom_seen: None,
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

    /// Takes over what the runtimes have learned: gives every container its display name and tells how it fares. Cheap
    /// where nothing has changed.
    pub fn name(&mut self) {
        // Before what they stand for is read: what changes meanwhile is new at the next tick.
        let (generation, lives) = (self.directory.generation(), self.directory.lives_generation());
        let names_changed = generation != self.names_seen || self.stale_names;
        if names_changed {
            self.display_names(generation);
        }
        let lives_changed = names_changed || lives != self.lives_seen;
        self.lives_seen = lives;
        for entry in self.entries.values_mut() {
            if lives_changed || entry.row.oom.last_at != entry.oom_seen {
                entry.fare(self.directory.life(&entry.container.identity.id).as_ref());
            }
        }
    }

    fn display_names(&mut self, generation: u64) {
        self.names_seen = generation;
        self.stale_names = false;
        // One that has ended keeps the name that its series bear, whoever else comes or goes.
        let mut open: Vec<_> =
            self.entries.values_mut().filter(|entry| entry.row.ended_at.is_none() || !entry.named).collect();
        let known: Vec<Option<Names>> =
            open.iter().map(|entry| self.directory.get(&entry.container.identity.id)).collect();
        let candidates: Vec<_> = open
            .iter()
            .zip(&known)
            .map(|(entry, names)| Candidate {
                id: &entry.container.identity.id,
                names: names.as_ref(),
                living: entry.row.ended_at.is_none(),
            })
            .collect();
        let displayed = naming::display_names(&candidates, &self.rename);
        for ((entry, names), container) in open.iter_mut().zip(known).zip(displayed) {
            if names.is_none() && !entry.reported {
                entry.reported = true;
                self.directory.seen_unnamed(Unnamed {
                    id: entry.container.identity.id.clone(),
                    cgroup_path: entry.container.identity.cgroup_path.clone(),
                    runtime: entry.container.identity.runtime,
                });
            }
            entry.rename(names, container);
        }
        self.share_out_names();
    }

    /// Of the containers with one display name, the living one owns it, else the youngest.
    fn share_out_names(&mut self) {
        let mut owners: HashMap<Series, (bool, u64)> = HashMap::new();
        for entry in self.entries.values() {
            let rank = (entry.row.ended_at.is_none(), entry.container.key);
            let owner = owners.entry(series_of(&entry.container.identity)).or_insert(rank);
            *owner = rank.max(*owner);
        }
        for entry in self.entries.values_mut() {
            let owner = owners.get(&series_of(&entry.container.identity));
            entry.row.owns_name = owner.is_some_and(|owner| owner.1 == entry.container.key);
        }
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
            row.life.last_exit = row.life.last_exit.filter(recent);
            row
        });
        rows.collect()
    }
}

/// Namespace, pod and container: what distinguishes one container's own series from another's.
type Series = (String, String, String);

fn series_of(identity: &Identity) -> Series {
    // Prometheus takes an empty label for none.
    let or_empty = |label: &Option<String>| label.clone().unwrap_or_default();
    (or_empty(&identity.namespace), or_empty(&identity.pod), identity.container.clone())
}

impl Entry {
    /// Takes in what a runtime tells of its life.
    fn fare(&mut self, told: Option<&Life>) {
        let tracked = Tracked {
            ended_at: self.row.ended_at,
            made_at: self.made_at,
            earlier_lives: self.earlier_lives,
            before: &self.row.life,
            oom: self.row.oom,
        };
        self.row.life = lifecycle::lifecycle(told, tracked);
        self.oom_seen = self.row.oom.last_at;
    }

    fn rename(&mut self, names: Option<Names>, container: String) {
        let old = &self.container.identity;
        let mut new = Identity { container, ..(**old).clone() };
        self.named = names.is_some();
        if let Some(names) = names {
            new.runtime = names.runtime;
            new.name = names.name;
            new.image = names.image;
            new.labels = names.labels;
            new.namespace = names.namespace;
            new.pod = names.pod;
            new.started_at = names.started_at.or(self.made_at);
        }
        if new != **old {
            self.container.identity = Arc::new(new);
            self.row.identity = self.container.identity.clone();
        }
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
