//! Births and deaths: from kernel events and from walks through the tree, to tracked containers with slots.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{Engine, Running, running};
use crate::{
    containers::{
        Moment,
        cgroup::{self, Found},
        tracker::{Entry, Sighting},
    },
    kernel::{Kernel, events::Event},
};
use glassbox_ebpf::Lost;

/// While the kernel tells of births and deaths, walks only make up for lost events and for cgroups of unusual names.
const WALK_PERIOD: Duration = Duration::from_secs(30);
/// Events handled in one go, so that a storm of births cannot starve the tick.
const MOST_EVENTS: usize = 4096;

/// When the tree was walked, and how that went.
#[derive(Default)]
pub(super) struct Walks {
    last: Option<Instant>,
    events_lost: u64,
    wanted: bool,
    /// What was told of cgroups that bear no id, when that was last looked at.
    told: u64,
    /// Walks that met more cgroups than they may return.
    pub(super) truncated: u64,
}

impl Engine {
    pub(super) fn handle_events(&mut self) {
        for _ in 0..MOST_EVENTS {
            let Some(event) = self.kernel.as_mut().and_then(Kernel::next_event) else {
                return;
            };
            let now = Moment::now();
            match event {
                Event::Born { cgroup_id, slot, path } => self.born(cgroup_id, slot, path.as_deref(), now),
                Event::Emptied { cgroup_id } => {
                    if let Some(key) = self.tracker.key_of_cgroup(cgroup_id) {
                        self.read_once(key, now);
                        self.look_into(key);
                    }
                }
                Event::Removed { cgroup_id, slot } => match (self.tracker.key_of_cgroup(cgroup_id), slot) {
                    (Some(key), _) => self.ended(key, now),
                    (None, Some(slot)) => self.give_back(slot),
                    (None, None) => {}
                },
                Event::DriverModule(event) => {
                    if let Some(kernel) = &mut self.kernel {
                        running::active(&mut self.collectors)
                            .for_each(|collector| collector.module_event(kernel, &event));
                    }
                }
            }
        }
    }

    fn born(&mut self, cgroup_id: u64, slot: Option<u32>, path: Option<&str>, now: Moment) {
        if self.tracker.key_of_cgroup(cgroup_id).is_some() {
            return; // A walk was faster.
        }
        let Some(path) = path else {
            self.walks.wanted = true;
            return;
        };
        if slot.is_some()
            && let Some(kernel) = &mut self.kernel
        {
            kernel.slots.adopt();
        }
        let Some(container) = cgroup::container_of(path) else {
            // Named like a container but none, such as a runtime's monitor: what it does counts for nobody, and its slot
            // returns when it is removed.
            return;
        };
        if !self.is_container(container.id, path, cgroup_id, now) {
            return; // Likewise.
        }
        let sighting = Sighting {
            id: container.id,
            runtime: container.runtime,
            cgroup_path: path,
            cgroup_id,
            slot,
            made_at: Some(now.wall),
        };
        self.track(&sighting, now);
    }

    /// Tracks a container, gives it a slot if it has none and reads it for the first time.
    fn track(&mut self, sighting: &Sighting<'_>, now: Moment) -> u64 {
        let key = self.tracker.add(sighting, now);
        if let (Some(kernel), Some(entry)) = (&mut self.kernel, self.tracker.get_mut(key))
            && entry.container.slot.is_none()
            && entry.container.cgroup_id != 0
            && let Some(slot) = kernel.slots.claim()
        {
            if kernel.slots.enter(entry.container.cgroup_id, slot, true) {
                entry.container.slot = Some(slot);
            } else {
                kernel.slots.release(slot);
            }
        }
        self.read_once(key, now);
        self.look_into(key);
        key
    }

    /// One reading of one container, between ticks.
    fn read_once(&mut self, key: u64, now: Moment) {
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        entry.row.last_seen = now.wall;
        read(&mut self.collectors, self.kernel.as_mut(), entry);
    }

    /// Reads a container for the last time and gives back what it held.
    pub(super) fn ended(&mut self, key: u64, now: Moment) {
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        read(&mut self.collectors, self.kernel.as_mut(), entry);
        if let Some(kernel) = &mut self.kernel {
            kernel.slots.leave(entry.container.cgroup_id);
            for nested in entry.nested.drain(..) {
                kernel.slots.leave(nested);
            }
        }
        running::active(&mut self.collectors).for_each(|collector| collector.forget(&entry.container));
        let slot = entry.container.slot.take();
        self.tracker.end(key, now);
        if let Some(slot) = slot {
            self.give_back(slot);
        }
    }

    /// Clears a slot's counters and lets the next container have it.
    pub(super) fn give_back(&mut self, slot: u32) {
        running::active(&mut self.collectors).for_each(|collector| collector.clear_slot(slot));
        if let Some(kernel) = &mut self.kernel {
            kernel.slots.release(slot);
        }
    }

    /// Learns which cgroups are containers although their paths bear no id. The kernel does not tell of their births.
    fn learn_told(&mut self) {
        // Before what it stands for is read: what changes meanwhile is new at the next tick.
        let generation = self.directory.cgroups_generation();
        if generation != self.walks.told {
            self.walks.told = generation;
            self.layout.told().set(self.directory.told_cgroups());
            self.walks.wanted = true;
        }
    }

    pub(super) fn walk_if_due(&mut self, now: Moment) {
        self.learn_told();
        let told = self.kernel.as_ref().is_some_and(|kernel| kernel.rung("cgroup").is_ok());
        let lost = self.kernel.as_ref().map_or(0, |kernel| kernel.lost_of(Lost::CgroupEvents));
        self.walks.wanted |= self.claims.may_have_changed(&self.directory);
        let recent = self.walks.last.is_some_and(|last| last.elapsed() < WALK_PERIOD);
        if told && recent && lost == self.walks.events_lost && !self.walks.wanted {
            return;
        }
        self.walks.events_lost = lost;
        self.walks.wanted = false;
        self.walks.last = Some(Instant::now());
        match cgroup::walk(&self.layout) {
            Ok(walk) => {
                self.walks.truncated += u64::from(walk.truncated);
                self.reconcile(&walk.found, walk.truncated, now);
            }
            Err(error) => tracing::warn!("walk the cgroup tree: {error:#}"),
        }
    }

    /// Makes what is tracked equal to what was found.
    fn reconcile(&mut self, found: &[Found], truncated: bool, now: Moment) {
        let mut present = HashSet::new();
        for own in found.iter().filter(|found| found.own) {
            let known = match own.cgroup_id {
                0 => self.tracker.key_of(&own.container, &own.path),
                id => self.tracker.key_of_cgroup(id),
            };
            if known.is_none() && !self.is_container(&own.container, &own.path, own.cgroup_id, now) {
                continue;
            }
            let key = known.unwrap_or_else(|| {
                // Its event may still be on the way.
                let born = self.kernel.as_mut().and_then(|kernel| kernel.slots.adopt_born(own.cgroup_id));
                let sighting = Sighting {
                    id: &own.container,
                    runtime: own.runtime,
                    cgroup_path: &own.path,
                    cgroup_id: own.cgroup_id,
                    slot: born,
                    made_at: own.made_at,
                };
                self.track(&sighting, now)
            });
            present.insert(key);
        }
        self.enter_nested(found);
        if !truncated {
            self.claims.forget_gone(found);
            let gone: Vec<_> = self.tracker.living().map(|entry| entry.container.key).collect();
            for key in gone.into_iter().filter(|key| !present.contains(key)) {
                self.ended(key, now);
            }
        }
    }

    /// Leads cgroups nested in a container to the container's slot, unless the kernel has done so at their birth.
    fn enter_nested(&mut self, found: &[Found]) {
        let Some(kernel) = &mut self.kernel else { return };
        // Of several cgroups with one id only one is tracked.
        let owners: HashMap<&str, (&str, u64)> = found
            .iter()
            .filter(|found| found.own)
            .filter_map(|own| Some((own, self.tracker.key_of_cgroup(own.cgroup_id)?)))
            .map(|(own, key)| (own.container.as_str(), (own.path.as_str(), key)))
            .collect();
        for nested in found.iter().filter(|found| !found.own && found.cgroup_id != 0) {
            let owner = owners.get(nested.container.as_str());
            let Some(&(_, key)) = owner.filter(|(path, _)| is_below(&nested.path, path)) else {
                continue;
            };
            let Some(entry) = self.tracker.get_mut(key) else {
                continue;
            };
            let Some(slot) = entry.container.slot else {
                continue;
            };
            if !entry.nested.contains(&nested.cgroup_id)
                && kernel.slots.born(nested.cgroup_id).is_none()
                && kernel.slots.enter(nested.cgroup_id, slot, false)
            {
                entry.nested.push(nested.cgroup_id);
            }
        }
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

/// Reads one container with every collector.
fn read(collectors: &mut [Running], mut kernel: Option<&mut Kernel>, entry: &mut Entry) {
    for collector in running::active(collectors) {
        collector.refresh(kernel.as_deref_mut());
        // Errors are the tick's to report: a cgroup that is being made or removed has half of its files.
        let _ = collector.collect(&entry.container, &mut entry.row);
    }
}
