//! Tracks containers: from kernel events and from walks through the cgroup tree.

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
        tracker::{Discovery, Entry},
    },
    kernel::Kernel,
};
use glassbox_ebpf::Lost;

/// While the kernel reports start and exit events, walks only find lost events and cgroups with unusual names.
const WALK_PERIOD: Duration = Duration::from_secs(30);
/// A walk pauses after this part of a tick and continues at the next tick.
const WALK_SLICE: u32 = 4;
/// A walk that takes longer than this part of a tick is followed by a pause.
const WALK_COSTLY: u32 = 20;
/// The length of that pause, as a multiple of the duration of the walk.
const WALK_PAUSE: u32 = 10;

/// The state of the walks.
#[derive(Default)]
pub(super) struct Walks {
    /// When the last walk ended.
    last: Option<Instant>,
    /// The walk in progress.
    current: Option<Walker>,
    /// Time spent in the walk in progress, or in the last one.
    spent: Duration,
    events_lost: u64,
    pub(super) wanted: bool,
    /// True while the results of a walk are processed.
    pub(super) reconciling: bool,
    /// The generation of the reported cgroups (those without an ID in the path) that was last read.
    reported: u64,
    /// The number of walks that exceeded a limit.
    pub(super) truncated: u64,
}

/// Total numbers of containers so far.
#[derive(Clone, Copy, Default)]
pub(super) struct ContainerCounts {
    pub(super) discovered: u64,
    pub(super) ended: u64,
}

impl Engine {
    /// Tracks the container of a new cgroup. `None` if it is tracked already, or is not a container.
    pub(super) fn created(
        &mut self,
        cgroup_id: u64,
        slot: Option<u32>,
        path: Option<&str>,
        now: Moment,
    ) -> Option<u64> {
        if self.tracker.key_of_cgroup(cgroup_id).is_some() {
            return None; // A walk has found it already.
        }
        match (slot, &mut self.kernel) {
            // Adopted even if the container is not tracked, so that the slot is returned when the cgroup is removed.
            (Some(slot), Some(kernel)) => kernel.slots.adopt(slot, cgroup_id),
            _ => self.refused.counted_by_kernel(cgroup_id),
        }
        let Some(path) = path else {
            self.walks.wanted = true;
            return None;
        };
        // The name looks like that of a container, but the cgroup is not one, such as a runtime's monitor. Its activity
        // is not counted.
        let container = cgroup::container_of(path)?;
        if !self.is_container(container.id, path, cgroup_id, now) {
            return None; // As above.
        }
        let discovery = Discovery {
            id: container.id,
            runtime: container.runtime,
            cgroup_path: path,
            cgroup_id,
            slot,
            made_at: Some(now.wall),
        };
        Some(self.track(&discovery, true, now))
    }

    fn track(&mut self, discovery: &Discovery<'_>, is_new: bool, now: Moment) -> u64 {
        self.counts.discovered += 1;
        let key = self.tracker.add(discovery, now);
        if let (Some(kernel), Some(entry)) = (&mut self.kernel, self.tracker.get_mut(key)) {
            for running in &mut self.collectors {
                running.with(|collector| collector.on_start(&entry.container, is_new, kernel));
            }
        }
        key
    }

    /// Reads one container once, between ticks.
    pub(super) fn read_once(&mut self, key: u64, now: Moment) {
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        entry.row.last_seen = now.wall;
        let refresh = !std::mem::replace(&mut self.events.refreshed, true);
        read(&mut self.collectors, self.kernel.as_mut(), entry, refresh, |_| true);
        self.check_processes(key);
    }

    /// Reads a container for the last time and releases its resources.
    pub(super) fn ended(&mut self, key: u64, now: Moment) {
        let unread = self.events.take_unread(key);
        let Some(entry) = self.tracker.get_mut(key) else {
            return;
        };
        let refresh = !std::mem::replace(&mut self.events.refreshed, true);
        read(&mut self.collectors, self.kernel.as_mut(), entry, refresh, |collector| {
            !unread || collector.is_readable_after_exit()
        });
        let cgroup_id = entry.container.cgroup_id;
        if let Some(kernel) = &mut self.kernel {
            kernel.slots.leave(cgroup_id);
            for nested in entry.nested.drain() {
                kernel.slots.leave(nested);
            }
        }
        for running in &mut self.collectors {
            running.with(|collector| {
                collector.end(&entry.container, &mut entry.row);
                collector.forget(&entry.container);
            });
        }
        let slot = entry.container.slot.take();
        self.counts.ended += 1;
        self.refused.forget(cgroup_id);
        self.tracker.end(key, now);
        if let Some(slot) = slot {
            self.release_slot(slot, cgroup_id);
        }
    }

    /// Clears a slot and makes it available to the next container, if this cgroup's container holds it.
    pub(super) fn release_slot(&mut self, slot: u32, cgroup_id: u64) {
        let Some(kernel) = self.kernel.as_mut().filter(|kernel| kernel.slots.is_holder(slot, cgroup_id))
        else {
            return;
        };
        for running in &mut self.collectors {
            running.with(|collector| collector.clear_slot(slot));
        }
        kernel.slots.release(slot, cgroup_id);
    }

    /// Updates the table of reported cgroups. The kernel does not report their creation.
    fn update_reported_cgroups(&mut self) {
        // Read before the data: a change in between then counts as new at the next tick.
        let generation = self.metadata.cgroups_generation();
        if generation != self.walks.reported {
            self.walks.reported = generation;
            self.layout.reported().set(self.metadata.reported_cgroups());
            self.walks.wanted = true;
        }
    }

    /// Walks the cgroup tree if there is a reason to, or continues the walk in progress. The first walk runs to its
    /// end, others are limited to a part of the tick.
    pub(super) fn walk_if_due(&mut self, now: Moment) {
        self.update_reported_cgroups();
        self.walks.wanted |= self.claims.may_have_changed(&self.metadata);
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
        let reports_starts = self.kernel.as_ref().is_some_and(|kernel| kernel.method("containers").is_ok());
        let Some(last) = self.walks.last else { return true };
        let since = last.elapsed();
        let is_costly = self.walks.spent > *self.config.tick_ms / WALK_COSTLY;
        if is_costly && since < self.walks.spent * WALK_PAUSE {
            return false;
        }
        !reports_starts
            || since >= WALK_PERIOD
            || self.cgroup_events_lost() != self.walks.events_lost
            || self.walks.wanted
    }

    /// Updates the tracked containers to what the walk found. Events may have arrived since the walk began, so new and
    /// missing cgroups are checked again.
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
            self.claims.drop_removed(found);
            let layout = &self.layout;
            let gone: Vec<_> = self
                .tracker
                .living()
                .map(|entry| &entry.container)
                .filter(|container| !present.contains(&container.key))
                .filter(|container| !layout.exists(&container.identity.cgroup_path, container.cgroup_id))
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
        if !self.layout.exists(&own.path, own.cgroup_id)
            || !self.is_container(&own.container, &own.path, own.cgroup_id, now)
        {
            return None;
        }
        // Its start event may still be queued.
        let slot = self.kernel.as_mut().and_then(|kernel| kernel.slots.adopt_created(own.cgroup_id));
        let discovery = Discovery {
            id: &own.container,
            runtime: own.runtime,
            cgroup_path: &own.path,
            cgroup_id: own.cgroup_id,
            slot,
            made_at: own.made_at,
        };
        Some(self.track(&discovery, false, now))
    }
}

/// Reads one container with every collector for which `wanted` is true.
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
                // Only the tick reports errors, because a cgroup has only some of its files during creation and
                // removal.
                let _ = collector.collect(&entry.container, &mut entry.row);
            }
        });
    }
}
