//! Decides which of the cgroups with a container's ID in their names is the container, and which containers run.
//!
//! Anyone who can create a cgroup can name it after another user's container. Such a cgroup is not tracked: it gets no
//! row, no name and no counters, neither now nor after the container has ended.

use std::collections::{HashMap, HashSet};

use super::Engine;
use crate::containers::{
    Moment,
    cgroup::{Claim, Found},
    metadata::{MetadataStore, RunReport},
};

/// A container that has processes or has ended is checked for processes only every few ticks. It is checked sooner if
/// the kernel reports that the cgroup became empty, or if the runtime reports that the container runs.
const LOOK_EVERY_TICKS: u64 = 10;
/// Maximum number of rejected cgroups that are stored, to check them again when a runtime reports a change.
const REFUSED_MAX: usize = 4096;

/// Cgroups that are named after a container but rejected.
#[derive(Default)]
pub(super) struct Claims {
    /// Their IDs by path.
    refused: HashMap<String, u64>,
    statuses_seen: u64,
}

impl Claims {
    /// True once after runtimes have reported a change that may turn a rejected cgroup into a container.
    pub(super) fn may_have_changed(&mut self, metadata: &MetadataStore) -> bool {
        let statuses = metadata.status_generation();
        !self.refused.is_empty() && std::mem::replace(&mut self.statuses_seen, statuses) != statuses
    }

    pub(super) fn drop_removed(&mut self, found: &[Found]) {
        if !self.refused.is_empty() {
            let there: HashSet<_> =
                found.iter().map(|found| (found.path.as_str(), found.cgroup_id)).collect();
            self.refused.retain(|path, id| there.contains(&(path.as_str(), *id)));
        }
    }

    /// Rejects a cgroup, and logs that once.
    fn refuse(&mut self, path: &str, cgroup_id: u64, reason: &str) {
        if self.refused.len() < REFUSED_MAX
            && self.refused.insert(path.to_owned(), cgroup_id) != Some(cgroup_id)
        {
            tracing::info!("cgroup {path} is named after a container but not treated as one: {reason}");
        }
    }
}

impl Engine {
    /// Whether an untracked cgroup is the container with this ID. The cgroup that was taken for the container so far is
    /// dropped if the new one has the better claim.
    pub(super) fn is_container(&mut self, id: &str, path: &str, cgroup_id: u64, now: Moment) -> bool {
        let known_path = self.tracker.path_before(id) == Some(path);
        if let Some(rival) = self.rival(id, now) {
            let theirs = self.claim(id, &rival.path, rival.cgroup_id, rival.path_is_proven);
            if self.claim(id, path, cgroup_id, known_path) <= theirs {
                let reason = format!("the container is {}", rival.path);
                self.claims.refuse(path, cgroup_id, &reason);
                return false;
            }
            self.untrack(rival.key);
            self.claims.refuse(&rival.path, rival.cgroup_id, &format!("the container is {path}"));
            return true;
        }
        // A runtime restarts a container at the same path. The state that it reports may be that of the run just ended.
        let moved = !known_path && self.tracker.path_before(id).is_some();
        let ended = matches!(self.metadata.run_report(id), RunReport::Ended | RunReport::NotYet);
        let refused = moved || (ended && self.claim(id, path, cgroup_id, known_path).is_untrusted());
        if refused {
            self.claims.refuse(path, cgroup_id, "the container has ended");
        } else {
            self.claims.refused.remove(path);
        }
        !refused
    }

    /// The live container with this ID. If its cgroup is gone because the exit event was lost, the container is ended.
    fn rival(&mut self, id: &str, now: Moment) -> Option<Rival> {
        let key = self.tracker.key_of_id(id)?;
        let entry = self.tracker.get_mut(key)?;
        let (container, path_is_proven) = (&entry.container, entry.path_is_proven);
        let (path, cgroup_id) = (container.identity.cgroup_path.clone(), container.cgroup_id);
        if !self.layout.exists(&path, cgroup_id) {
            self.ended(key, now);
            return None;
        }
        Some(Rival { key, path, cgroup_id, path_is_proven })
    }

    fn claim(&self, id: &str, path: &str, cgroup_id: u64, known_path: bool) -> Claim {
        let is_reported = self.layout.reported().get().get(path).is_some_and(|reported| reported.id == id);
        Claim::of(&self.layout, path, cgroup_id, is_reported || known_path)
    }

    /// Stops tracking a cgroup that is not a container, and removes all its data.
    fn untrack(&mut self, key: u64) {
        let Some(entry) = self.tracker.get_mut(key) else { return };
        let container = entry.container.clone();
        let nested: Vec<u64> = entry.nested.drain().collect();
        for running in &mut self.collectors {
            running.with(|collector| collector.forget(&container));
        }
        self.tracker.untrack(key);
        self.counts.ended += 1;
        self.refused.forget(container.cgroup_id);
        let Some(kernel) = &mut self.kernel else { return };
        let claimed_by_kernel = kernel.slots.created(container.cgroup_id).is_some();
        for cgroup_id in nested.into_iter().chain([container.cgroup_id]) {
            kernel.slots.leave(cgroup_id);
        }
        // A slot that the kernel assigned is returned when the cgroup is removed.
        if let Some(slot) = container.slot.filter(|_| !claimed_by_kernel) {
            self.release_slot(slot, container.cgroup_id);
        }
    }

    /// Checks whether a container has processes.
    pub(super) fn check_processes(&mut self, key: u64) {
        if let Some(entry) = self.tracker.get_mut(key) {
            entry.look(self.layout.populated(&entry.container.identity.cgroup_path));
        }
    }

    /// Checks the containers that may have changed: the kernel reports when a cgroup becomes empty, but not when it
    /// gets its first process.
    pub(super) fn check_all_processes(&mut self) {
        let (ticks, layout) = (self.ticks, &self.layout);
        for entry in self.tracker.living() {
            let due = ticks.wrapping_add(entry.container.key).is_multiple_of(LOOK_EVERY_TICKS);
            let is_known = entry.populated == Some(true) || !entry.row.running;
            if due || !is_known {
                entry.look(layout.populated(&entry.container.identity.cgroup_path));
            }
        }
    }
}

struct Rival {
    key: u64,
    path: String,
    cgroup_id: u64,
    path_is_proven: bool,
}
