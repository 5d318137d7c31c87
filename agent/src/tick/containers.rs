//! Which containers there are: from kernel events and from walks through the cgroup tree to tracked containers.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Engine, Running};
use crate::{
    collectors::Collector,
    containers::{
        Moment,
        cgroup::{self, Found, Walker},
        tracker::{Entry, Sighting},
    },
    kernel::Kernel,
};
use glassbox_ebpf::Lost;

/// While the kernel tells of births and deaths, walks only make up for lost events and for cgroups of unusual names.
const WALK_PERIOD: Duration = Duration::from_secs(30);
/// A walk stops after this part of a tick and goes on at the next tick.
const WALK_SLICE: u32 = 4;
/// A walk that takes longer than this part of a tick
const WALK_COSTLY: u32 = 20;
/// is followed by a pause of so many times its duration.
const WALK_PAUSE: u32 = 10;

/// When the tree was walked, and how that went.
#[derive(Default)]
pub(super) struct Walks {
    /// When the last one ended.
    last: Option<Instant>,
    /// The one that is under way.
    current: Option<Walker>,
    /// Time spent in it, or in the last one.
    spent: Duration,
    events_lost: u64,
    pub(super) wanted: bool,
    /// What a walk has found is being taken in.
    pub(super) reconciling: bool,
    /// What was told of cgroups that bear no id, when that was last looked at.
    told: u64,
    /// Walks that met more cgroups than they may return.
    pub(super) truncated: u64,
}

/// Containers so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Lives {
    pub(super) discovered: u64,
    pub(super) ended: u64,
}

impl Engine {
    /// Tracks a container whose cgroup was made. `None` if it is known already, or is not a container.
    pub(super) fn born(
        &mut self,
        cgroup_id: u64,
        slot: Option<u32>,
        path: Option<&str>,
        now: Moment,
    ) -> Option<u64> {
        if self.tracker.key_of_cgroup(cgroup_id).is_some() {
            return None; // A walk was faster.
        }
        match (slot, &mut self.kernel) {
            // Whatever becomes of it: its slot returns when it is removed.
            (Some(slot), Some(kernel)) => kernel.slots.adopt(slot, cgroup_id),
            _ => self.refused.counted_by_kernel(cgroup_id),
        }
        let Some(path) = path else {
            self.walks.wanted = true;
            return None;
        };
        // Named like a container but none, such as a runtime's monitor: what it does counts for nobody.
        let container = cgroup::container_of(path)?;
        if !self.is_container(container.id, path, cgroup_id, now) {
            return None; // Likewise.
        }
        let sighting = Sighting {
            id: container.id,
            runtime: container.runtime,
            cgroup_path: path,
            cgroup_id,
            slot,
            made_at: Some(now.wall),
        };
        Some(self.track(&sighting, now))
    }

    fn track(&mut self, sighting: &Sighting<'_>, now: Moment) -> u64 {
        self.lives.discovered += 1;
        self.tracker.add(sighting, now)
    }

    /// One reading of one container, between ticks.
    pub(super) fn read_once(&mut self, key: u64, now: Moment) {
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        entry.row.last_seen = now.wall;
        let refresh = !std::mem::replace(&mut self.events.refreshed, true);
        read(&mut self.collectors, self.kernel.as_mut(), entry, refresh, |_| true);
        self.look_into(key);
    }

    /// Reads a container for the last time and gives back what it held.
    pub(super) fn ended(&mut self, key: u64, now: Moment) {
        let unread = self.events.take_unread(key);
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        let refresh = !std::mem::replace(&mut self.events.refreshed, true);
        read(&mut self.collectors, self.kernel.as_mut(), entry, refresh, |collector| {
            !unread || collector.outlives_cgroup()
        });
        let cgroup_id = entry.container.cgroup_id;
        if let Some(kernel) = &mut self.kernel {
            kernel.slots.leave(cgroup_id);
            for nested in entry.nested.drain() {
                kernel.slots.leave(nested);
            }
        }
        for running in &mut self.collectors {
            running.with(|collector| collector.forget(&entry.container));
        }
        let slot = entry.container.slot.take();
        self.lives.ended += 1;
        self.refused.forget(cgroup_id);
        self.tracker.end(key, now);
        if let Some(slot) = slot {
            self.give_back(slot, cgroup_id);
        }
    }

    /// Clears a slot's counters and lets the next container have it, if this cgroup's container holds it.
    pub(super) fn give_back(&mut self, slot: u32, cgroup_id: u64) {
        let Some(kernel) = self.kernel.as_mut().filter(|kernel| kernel.slots.is_holder(slot, cgroup_id))
        else {
            return;
        };
        for running in &mut self.collectors {
            running.with(|collector| collector.clear_slot(slot));
        }
        kernel.slots.release(slot, cgroup_id);
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

    /// Walks the cgroup tree if there is a reason to, or goes on with a walk: the first one to its end, others within a
    /// part of the tick.
    pub(super) fn walk_if_due(&mut self, now: Moment) {
        self.learn_told();
        self.walks.wanted |= self.claims.may_have_changed(&self.directory);
        if self.walks.current.is_none() {
            if !self.walk_is_due() {
                self.end_vanished(now);
                return;
            }
            self.walks.events_lost = self.cgroup_events_lost();
            self.walks.wanted = false;
            self.walks.spent = Duration::ZERO;
            self.walks.current = Some(Walker::new(&self.layout));
        }
        let begun = Instant::now();
        let deadline = self.walks.last.map(|_| begun + *self.config.tick_ms / WALK_SLICE);
        let Some(walker) = &mut self.walks.current else { return };
        let walked = walker.step(deadline).transpose();
        self.walks.spent += begun.elapsed();
        let Some(walked) = walked else { return };
        self.walks.current = None;
        self.walks.last = Some(Instant::now());
        match walked {
            Ok(walk) => {
                self.walks.truncated += u64::from(walk.truncated);
                self.walks.reconciling = true;
                self.reconcile(&walk.found, walk.truncated, now);
                self.walks.reconciling = false;
            }
            Err(error) => tracing::warn!("walk the cgroup tree: {error:#}"),
        }
    }

    fn cgroup_events_lost(&self) -> u64 {
        self.kernel.as_ref().map_or(0, |kernel| kernel.lost_of(Lost::CgroupEvents))
    }

    fn walk_is_due(&self) -> bool {
        let told = self.kernel.as_ref().is_some_and(|kernel| kernel.method("containers").is_ok());
        let Some(last) = self.walks.last else { return true };
        let since = last.elapsed();
        let is_costly = self.walks.spent > *self.config.tick_ms / WALK_COSTLY;
        if is_costly && since < self.walks.spent * WALK_PAUSE {
            return false;
        }
        !told
            || since >= WALK_PERIOD
            || self.cgroup_events_lost() != self.walks.events_lost
            || self.walks.wanted
    }

    /// Makes what is tracked equal to what was found. Events may have come in since the walk began, so what is new or gone
    /// is looked at once more.
    fn reconcile(&mut self, found: &[Found], truncated: bool, now: Moment) {
        let mut present = HashSet::new();
        for own in found.iter().filter(|found| found.own) {
            let known = match own.cgroup_id {
                0 => self.tracker.key_of(&own.container, &own.path),
                id => self.tracker.key_of_cgroup(id),
            };
            let Some(key) = known.or_else(|| self.found_new(own, now)) else { continue };
            present.insert(key);
        }
        self.claim_slots();
        self.enter_nested(found, !truncated);
        if !truncated {
            self.claims.forget_gone(found);
            let layout = &self.layout;
            let gone: Vec<_> = self
                .tracker
                .living()
                .map(|entry| &entry.container)
                .filter(|container| !present.contains(&container.key))
                .filter(|container| !layout.is_there(&container.identity.cgroup_path, container.cgroup_id))
                .map(|container| (container.key, container.cgroup_id))
                .collect();
            for (key, cgroup_id) in gone {
                self.events.ended_by_walk(cgroup_id);
                self.ended(key, now);
            }
        }
    }

    /// Tracks a container that a walk has found and no event has reported. The tick reads it next.
    fn found_new(&mut self, own: &Found, now: Moment) -> Option<u64> {
        if !self.layout.is_there(&own.path, own.cgroup_id)
            || !self.is_container(&own.container, &own.path, own.cgroup_id, now)
        {
            return None;
        }
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
        Some(self.track(&sighting, now))
    }
}

/// Reads one container with every collector that is wanted.
fn read(
    collectors: &mut [Running],
    mut kernel: Option<&mut Kernel>,
    entry: &mut Entry,
    refresh: bool,
    wanted: impl Fn(&dyn Collector) -> bool,
) {
    for running in collectors {
        running.with(|collector| {
            if refresh {
                collector.refresh(kernel.as_deref_mut());
            }
            if wanted(collector) {
                // Only the tick reports errors: a cgroup that is being made or removed has only some of its files.
                let _ = collector.collect(&entry.container, &mut entry.row);
            }
        });
    }
}
