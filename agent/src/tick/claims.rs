//! Which cgroups named after a container are the container, and which containers run.
//!
//! Whoever may make a cgroup may name it after another's container. Such a cgroup is not tracked: it gets no row, no name
//! and no counters, now or when the container has ended.

use std::collections::{HashMap, HashSet};

use super::Engine;
use crate::containers::{
    Moment,
    cgroup::{Claim, Found},
    directory::{Directory, Reported},
};

/// A container that is known to have processes, or to have ended, is looked into at one of so many ticks. Both are looked
/// into sooner if there is news: the kernel reports that the cgroup became empty, or the runtime that the container runs.
const LOOK_EVERY_TICKS: u64 = 10;
/// Most refused cgroups that are remembered, to be judged again when a runtime reports something.
const REFUSED_MAX: usize = 4096;

/// Cgroups that are named after a container and are none.
#[derive(Default)]
pub(super) struct Claims {
    /// Their ids by path.
    refused: HashMap<String, u64>,
    lives_seen: u64,
}

impl Claims {
    /// True once after runtimes have reported something that may make a refused cgroup a container.
    pub(super) fn may_have_changed(&mut self, directory: &Directory) -> bool {
        let lives = directory.lives_generation();
        !self.refused.is_empty() && std::mem::replace(&mut self.lives_seen, lives) != lives
    }

    pub(super) fn forget_gone(&mut self, found: &[Found]) {
        if !self.refused.is_empty() {
            let there: HashSet<_> =
                found.iter().map(|found| (found.path.as_str(), found.cgroup_id)).collect();
            self.refused.retain(|path, id| there.contains(&(path.as_str(), *id)));
        }
    }

    /// Logs a cgroup once.
    fn refuse(&mut self, path: &str, cgroup_id: u64, reason: &str) {
        if self.refused.len() < REFUSED_MAX
            && self.refused.insert(path.to_owned(), cgroup_id) != Some(cgroup_id)
        {
            tracing::info!("cgroup {path} is named after a container and is not treated as one: {reason}");
        }
    }
}

impl Engine {
    /// Whether a cgroup that is not tracked is the container of that id. What was taken for it so far makes way if the new
    /// one has the better claim.
    pub(super) fn is_container(&mut self, id: &str, path: &str, cgroup_id: u64, now: Moment) -> bool {
        let known_path = self.tracker.path_before(id) == Some(path);
        if let Some(rival) = self.rival(id, now) {
            let theirs = self.claim(id, &rival.path, rival.cgroup_id, rival.path_is_proven);
            if self.claim(id, path, cgroup_id, known_path) <= theirs {
                let reason = format!("the container is {}", rival.path);
                self.claims.refuse(path, cgroup_id, &reason);
                return false;
            }
            self.disown(rival.key);
            self.claims.refuse(&rival.path, rival.cgroup_id, &format!("the container is {path}"));
            return true;
        }
        // A runtime starts a container again where it was. What its runtime reports may be of the run that has just ended.
        let moved = !known_path && self.tracker.path_before(id).is_some();
        let ended = matches!(self.directory.reported(id), Reported::Ended | Reported::NotYet);
        let refused = moved || (ended && self.claim(id, path, cgroup_id, known_path).is_doubtful());
        if refused {
            self.claims.refuse(path, cgroup_id, "the container has ended");
        } else {
            self.claims.refused.remove(path);
        }
        !refused
    }

    /// The living container of that id. One whose cgroup has gone, which the kernel's event was lost of, is ended.
    fn rival(&mut self, id: &str, now: Moment) -> Option<Rival> {
        let key = self.tracker.key_of_id(id)?;
        let entry = self.tracker.get_mut(key)?;
        let (container, path_is_proven) = (&entry.container, entry.path_is_proven);
        let (path, cgroup_id) = (container.identity.cgroup_path.clone(), container.cgroup_id);
        if !self.layout.is_there(&path, cgroup_id) {
            self.ended(key, now);
            return None;
        }
        Some(Rival { key, path, cgroup_id, path_is_proven })
    }

    fn claim(&self, id: &str, path: &str, cgroup_id: u64, known_path: bool) -> Claim {
        let is_told = self.layout.told().get().get(path).is_some_and(|told| told.id == id);
        Claim::of(&self.layout, path, cgroup_id, is_told || known_path)
    }

    /// Stops tracking what is no container, and leaves nothing of it.
    fn disown(&mut self, key: u64) {
        let Some(entry) = self.tracker.get_mut(key) else { return };
        let container = entry.container.clone();
        let nested: Vec<u64> = entry.nested.drain().collect();
        for running in &mut self.collectors {
            running.with(|collector| collector.forget(&container));
        }
        self.tracker.disown(key);
        self.lives.ended += 1;
        self.refused.forget(container.cgroup_id);
        let Some(kernel) = &mut self.kernel else { return };
        let claimed_by_kernel = kernel.slots.born(container.cgroup_id).is_some();
        for cgroup_id in nested.into_iter().chain([container.cgroup_id]) {
            kernel.slots.leave(cgroup_id);
        }
        // A slot that the kernel has claimed for it comes back when it is removed.
        if let Some(slot) = container.slot.filter(|_| !claimed_by_kernel) {
            self.give_back(slot, container.cgroup_id);
        }
    }

    /// Looks whether a container has processes.
    pub(super) fn look_into(&mut self, key: u64) {
        if let Some(entry) = self.tracker.get_mut(key) {
            entry.look(self.layout.populated(&entry.container.identity.cgroup_path));
        }
    }

    /// Looks into those that may have changed: the kernel reports when a cgroup becomes empty, not when it is filled.
    pub(super) fn look_for_processes(&mut self) {
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
