//! Display names: who bears which, and which of several containers with one name bears its series, and so goes on where
//! another one ended.

use std::collections::HashMap;

use super::{Entry, Tracker};
use crate::containers::{
    Identity,
    directory::{Names, Unnamed},
    naming::{self, Candidate},
};

impl Tracker {
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
        // Kubernetes makes another container in the place of one that ended, where Docker starts the same again.
        let mut predecessors: HashMap<u64, u64> = HashMap::new();
        let replaced =
            |entry: &&Entry| entry.row.ended_at.is_some() && entry.container.identity.pod.is_some();
        for entry in self.entries.values().filter(replaced) {
            let owner = owners.get(&series_of(&entry.container.identity)).map(|owner| owner.1);
            if let Some(owner) = owner.filter(|owner| *owner > entry.container.key) {
                // Keys grow with time, so the last is the youngest.
                predecessors.insert(owner, entry.container.key);
            }
        }
        for entry in self.entries.values_mut() {
            let owner = owners.get(&series_of(&entry.container.identity));
            entry.row.owns_name = owner.is_some_and(|owner| owner.1 == entry.container.key);
            entry.predecessor = predecessors.get(&entry.container.key).copied();
        }
    }
}

/// Namespace, pod and container: what distinguishes one container's own series from another's.
type Series = (String, String, String);

fn series_of(identity: &Identity) -> Series {
    // Prometheus takes an empty label for none.
    let or_empty = |label: &Option<String>| label.clone().unwrap_or_default();
    (or_empty(&identity.namespace), or_empty(&identity.pod), identity.container.clone())
}
