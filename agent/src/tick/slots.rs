//! Assigns slots to containers that have none, and enters cgroups nested in containers into the found table.
//!
//! The kernel programs assign a slot when a container's cgroup is created. All other containers get theirs here: those
//! that are older than the agent, those that a runtime reported, and those that started while the table was full, as
//! soon as a slot is free. A container without a slot has no exit event either, so its cgroup is checked at every tick.

use std::collections::{HashMap, HashSet};

use super::Engine;
use crate::{
    containers::{Moment, cgroup::Found},
    kernel::slots::Refusal,
};

/// Maximum number of containers without a slot that are checked per tick.
const LOOKED_FOR_MAX: usize = 4096;

/// Containers without a slot and cgroups without a table entry that the kernel programs have not counted.
#[derive(Default)]
pub(super) struct Refused {
    /// Containers that got no slot.
    pub(super) slots: u64,
    /// Cgroups that got no table entry.
    pub(super) entries: u64,
    /// Containers' cgroups that were counted, by the kernel programs or here.
    counted_slots: HashSet<u64>,
    counted_entries: HashSet<u64>,
}

impl Refused {
    /// Records that the kernel programs have counted this cgroup as one without a slot.
    pub(super) fn counted_by_kernel(&mut self, cgroup_id: u64) {
        self.counted_slots.insert(cgroup_id);
    }

    fn slot(&mut self, cgroup_id: u64) {
        self.slots += u64::from(self.counted_slots.insert(cgroup_id));
    }

    fn entry(&mut self, cgroup_id: u64) {
        self.entries += u64::from(self.counted_entries.insert(cgroup_id));
    }

    /// Removes a container that now has a slot, or that has ended.
    pub(super) fn forget(&mut self, cgroup_id: u64) {
        self.counted_slots.remove(&cgroup_id);
    }
}

impl Engine {
    /// Assigns free slots to live containers without one, oldest first.
    pub(super) fn claim_slots(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let mut waiting: Vec<_> = (self.tracker.living())
            .filter(|entry| entry.container.slot.is_none() && entry.container.cgroup_id != 0)
            .map(|entry| entry.container.clone())
            .collect();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_unstable_by_key(|container| container.key);
        let mut held: HashMap<String, u32> = (self.tracker.living())
            .filter_map(|entry| Some((entry.container.identity.cgroup_path.clone(), entry.container.slot?)))
            .collect();
        let mut is_full = false;
        for container in waiting {
            let path = &container.identity.cgroup_path;
            let claimed = if is_full {
                Err(Refusal::NoFreeSlot)
            } else {
                kernel.slots.claim(container.cgroup_id, outermost_around(path, &held))
            };
            is_full |= claimed == Err(Refusal::NoFreeSlot);
            match claimed {
                Ok(slot) => {
                    held.insert(path.clone(), slot);
                    self.refused.forget(container.cgroup_id);
                    if let Some(entry) = self.tracker.get_mut(container.key) {
                        entry.container.slot = Some(slot);
                    }
                    // Nested cgroups are entered after the next walk.
                    self.walks.wanted |= !self.walks.reconciling;
                }
                Err(Refusal::NoRoom) => self.refused.entry(container.cgroup_id),
                Err(Refusal::NoFreeSlot | Refusal::ContainerLimit) => self.refused.slot(container.cgroup_id),
            }
        }
    }

    /// Maps cgroups nested in a container to the container's slot, unless the kernel did so at their creation, and
    /// releases the entries of removed cgroups. `complete` is true if the walk has visited all cgroups.
    pub(super) fn enter_nested(&mut self, found: &[Found], complete: bool) {
        let Some(kernel) = &mut self.kernel else { return };
        let mut owners: HashMap<&str, Vec<&Found>> = HashMap::new();
        for own in found.iter().filter(|found| found.own) {
            owners.entry(&own.container).or_default().push(own);
        }
        let nested = || found.iter().filter(|found| !found.own && found.cgroup_id != 0);
        if complete {
            let present: HashSet<u64> = nested().map(|found| found.cgroup_id).collect();
            for entry in self.tracker.living() {
                entry.nested.retain(|cgroup_id| {
                    let is_present = present.contains(cgroup_id);
                    if !is_present {
                        kernel.slots.leave(*cgroup_id);
                    }
                    is_present
                });
            }
            self.refused.counted_entries.retain(|cgroup_id| present.contains(cgroup_id));
            self.refused.counted_slots.retain(|cgroup_id| self.tracker.key_of_cgroup(*cgroup_id).is_some());
        }
        for nested in nested() {
            let around =
                |own: &&&Found| nested.path.strip_prefix(&own.path).is_some_and(|rest| rest.starts_with('/'));
            let own = owners.get(nested.container.as_str()).into_iter().flatten().filter(around);
            let own = own.max_by_key(|own| own.path.len());
            let Some(key) = own.and_then(|own| self.tracker.key_of_cgroup(own.cgroup_id)) else {
                continue;
            };
            let Some(entry) = self.tracker.get_mut(key) else {
                continue;
            };
            let Some(slot) = entry.container.slot else {
                continue;
            };
            if entry.nested.contains(&nested.cgroup_id) || kernel.slots.created(nested.cgroup_id).is_some() {
                continue;
            }
            match kernel.slots.enter_nested(nested.cgroup_id, slot) {
                Ok(()) => {
                    entry.nested.insert(nested.cgroup_id);
                }
                Err(_) => self.refused.entry(nested.cgroup_id),
            }
        }
    }

    /// Ends containers without a slot if their cgroups are gone.
    pub(super) fn end_vanished(&mut self, now: Moment) {
        let without = self.tracker.living().filter(|entry| entry.container.slot.is_none());
        let layout = &self.layout;
        let gone: Vec<_> = without
            .take(LOOKED_FOR_MAX)
            .map(|entry| &entry.container)
            .filter(|one| !layout.exists(&one.identity.cgroup_path, one.cgroup_id))
            .map(|one| (one.key, one.cgroup_id))
            .collect();
        for (key, cgroup_id) in gone {
            self.events.ended_by_walk(cgroup_id);
            self.ended(key, now);
            // The container may have been restarted with another cgroup ID.
            self.walks.wanted = true;
        }
    }
}

/// The slot of the outermost container around a path, among the containers that have a slot.
fn outermost_around(path: &str, held: &HashMap<String, u32>) -> Option<u32> {
    let ends = path.match_indices('/').map(|(end, _)| end).filter(|end| *end > 0);
    ends.into_iter().find_map(|end| held.get(&path[..end]).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_the_outermost_container_is_found() {
        let held = HashMap::from([("/docker/a".to_owned(), 1), ("/docker/a/docker/b".to_owned(), 2)]);
        for (path, outermost) in [
            ("/docker/a/docker/b/docker/c", Some(1)),
            ("/docker/a/docker/b", Some(1)),
            ("/docker/a", None),
            ("/docker/ab/docker/b", None),
            ("", None),
        ] {
            assert_eq!(outermost_around(path, &held), outermost, "{path}");
        }
    }
}
