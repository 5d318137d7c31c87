//! Assigns display names. Of several containers with the same name, decides which one owns the series of that name, and
//! which one continues the series of an ended container.

use std::{collections::HashMap, sync::Arc};

use super::Tracker;
use crate::{
    containers::{
        Moment,
        metadata::{Metadata, Unresolved},
        naming::{self, Candidate},
    },
    snapshot::identity::Identity,
};

impl Tracker {
    /// Applies new metadata: gives every container its display name, and decides whether it runs and in which state.
    /// Cheap if nothing has changed.
    pub fn name(&mut self, now: Moment) {
        // Read before the data: a change in between then counts as new at the next tick.
        let (generation, statuses) = (self.metadata.generation(), self.metadata.status_generation());
        let names_changed = generation != self.names_seen || self.stale_names;
        let statuses_changed = names_changed || statuses != self.statuses_seen;
        self.statuses_seen = statuses;
        // A container that stops competing frees its name, so this comes first.
        for entry in self.entries.values_mut() {
            if statuses_changed {
                entry.report = self.metadata.run_report(&entry.container.identity.id);
            }
            let ran = entry.row.running;
            entry.update_running(now);
            if statuses_changed || entry.row.running != ran {
                self.stale_names |= entry.competes() != entry.competed;
            }
        }
        if names_changed || self.stale_names {
            self.display_names(generation);
        }
        for entry in self.entries.values_mut() {
            let ran_on = entry.ran == entry.row.running;
            if statuses_changed || !ran_on || entry.row.oom.last_at != entry.oom_counted_at {
                entry.update_status(self.metadata.status(&entry.container.identity.id).as_ref(), now);
            }
        }
    }

    fn display_names(&mut self, generation: u64) {
        self.names_seen = generation;
        self.stale_names = false;
        // An ended container keeps the name of its series, regardless of new or removed containers.
        let mut open: Vec<_> =
            self.entries.values_mut().filter(|entry| entry.row.ended_at.is_none() || !entry.named).collect();
        let known: Vec<Option<Metadata>> =
            open.iter().map(|entry| self.metadata.get(&entry.container.identity.id)).collect();
        open.iter_mut().for_each(|entry| entry.competed = entry.competes());
        let candidates: Vec<_> = open
            .iter()
            .zip(&known)
            .map(|(entry, names)| Candidate {
                id: &entry.container.identity.id,
                names: names.as_ref(),
                competes: entry.competed,
                age_rank: entry.age_rank(),
                assigned: entry.assigned.as_ref(),
            })
            .collect();
        let displayed = naming::assign(&candidates, &self.renames.rules);
        self.renames.note(displayed.iter());
        for ((entry, names), assigned) in open.iter_mut().zip(known).zip(displayed) {
            if names.is_none() && !entry.lookup_requested {
                entry.lookup_requested = true;
                self.metadata.report_unresolved(Unresolved {
                    id: entry.container.identity.id.clone(),
                    cgroup_path: entry.container.identity.cgroup_path.clone(),
                    runtime: entry.container.identity.runtime,
                });
            }
            entry.rename(names, assigned);
        }
        self.assign_owners();
    }

    /// Of several containers with the same name, a running one owns the name, else a live one, else the youngest one.
    fn assign_owners(&mut self) {
        let mut owners: HashMap<Series, (bool, bool, u64)> = HashMap::new();
        for entry in self.entries.values() {
            let rank = (entry.competes(), entry.row.ended_at.is_none(), entry.container.key);
            let owner = owners.entry(series_of(&entry.container.identity)).or_insert(rank);
            *owner = rank.max(*owner);
        }
        for entry in self.entries.values_mut() {
            let owner = owners.get(&series_of(&entry.container.identity));
            entry.row.owns_name = owner.is_some_and(|owner| owner.2 == entry.container.key);
        }
        self.link_successors();
    }

    /// Kubernetes replaces an ended container by another one; Docker restarts the same one. The new container
    /// continues the counters of the ended one.
    fn link_successors(&mut self) {
        let mut last: HashMap<Series, u64> = HashMap::new();
        let mut successions: Vec<(u64, u64)> = Vec::new();
        // Keys grow with time, so each container comes after its predecessor.
        for entry in self.entries.values().filter(|entry| entry.container.identity.pod.is_some()) {
            if let Some(before) = last.insert(series_of(&entry.container.identity), entry.container.key) {
                successions.push((before, entry.container.key));
            }
        }
        for (before, key) in successions {
            let ended = self.entries.get(&before).filter(|entry| entry.ended.is_some());
            let totals = ended.map(|entry| entry.totals().of_successor());
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if let Some(totals) = totals
                && entry.predecessor != Some(before)
            {
                // Copied once: the totals stay when the row of the predecessor is dropped.
                entry.earlier = Some(Arc::new(totals.with(entry.earlier.as_deref())));
                entry.predecessor = Some(before);
            }
        }
    }
}

/// Namespace, pod and container: the labels that distinguish the series of one container from those of another.
type Series = (String, String, String);

fn series_of(identity: &Identity) -> Series {
    // Prometheus treats an empty label like a missing one.
    let or_empty = |label: &Option<String>| label.clone().unwrap_or_default();
    (or_empty(&identity.namespace), or_empty(&identity.pod), identity.container.clone())
}
