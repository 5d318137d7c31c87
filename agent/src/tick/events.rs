//! Container start and exit events between ticks, within a time budget.
//!
//! Events are moved out of the kernel's ring buffer as they come and handled in slices of at most [`SLICE_MAX`], so
//! that a burst of cgroups cannot delay a tick: after every slice the clock is checked. If a container's removal
//! already waits in the queue, the first reading is skipped, because the container's files are gone; only its kernel
//! counters are read, at its exit. If the queue is full, the ring buffer overflows, the kernel programs count that, and
//! a walk finds the remaining changes.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use super::Engine;
use crate::{
    containers::Moment,
    kernel::{Kernel, events::Event},
};

/// Maximum time for handling events at once. A quarter of the tick is another limit.
const SLICE_MAX: Duration = Duration::from_millis(50);
/// How often events are moved out of the ring buffer while others are handled. The buffer has room for 250.
const DRAIN_PERIOD: Duration = Duration::from_millis(5);
/// Maximum number of queued events, with some 200 bytes each.
const WAITING_MAX: usize = 4096;

/// The queue of events.
#[derive(Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    /// Cgroups with a removal in the queue.
    removed: HashSet<u64>,
    drained: Option<Instant>,
    /// True if collectors have been refreshed since the last event arrived.
    pub(super) refreshed: bool,
    /// Cgroups of containers that a walk ended, while their events may still be queued.
    ended_by_walk: HashSet<u64>,
    /// Keys of containers that ended before their first reading.
    unread: HashSet<u64>,
}

impl Events {
    /// True if there are events to handle without waiting for the kernel.
    pub(super) fn waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Records that a walk ended the container of this cgroup, so that its queued events are outdated.
    pub(super) fn ended_by_walk(&mut self, cgroup_id: u64) {
        self.ended_by_walk.insert(cgroup_id);
    }

    /// True once for a container that ended before its first reading.
    pub(super) fn take_unread(&mut self, key: u64) -> bool {
        self.unread.remove(&key)
    }

    /// True if it is time to take events from the kernel.
    fn is_due(&self) -> bool {
        self.waiting.is_empty() || self.drained.is_none_or(|at| at.elapsed() >= DRAIN_PERIOD)
    }

    fn drain(&mut self, kernel: &mut Kernel) {
        self.drained = Some(Instant::now());
        while self.waiting.len() < WAITING_MAX
            && let Some(event) = kernel.events.next()
        {
            if let Event::Removed { cgroup_id, .. } = &event {
                self.removed.insert(*cgroup_id);
            }
            self.waiting.push_back(event);
            self.refreshed = false;
        }
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front();
        match &event {
            Some(Event::Removed { cgroup_id, .. }) => {
                self.removed.remove(cgroup_id);
            }
            Some(_) => {}
            // Events of containers that a walk ended were in the ring buffer before that walk.
            None => self.ended_by_walk.clear(),
        }
        event
    }
}

impl Engine {
    /// Handles events until none is left or the slice is over.
    pub(super) fn handle_events(&mut self) {
        let slice = SLICE_MAX.min(*self.config.tick_ms / 4);
        let begun = Instant::now();
        while let Some(kernel) = &mut self.kernel {
            if self.events.is_due() {
                // Collectors come first, because their events must be handled at once; without events a call takes
                // microseconds.
                for running in &mut self.collectors {
                    running.with(|collector| collector.on_events(kernel));
                }
                self.events.drain(kernel);
            }
            let Some(event) = self.events.next() else { return };
            self.handle(event);
            if begun.elapsed() >= slice {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Moment::now();
        match event {
            Event::Created { cgroup_id, .. } if self.events.ended_by_walk.contains(&cgroup_id) => {}
            Event::Created { cgroup_id, slot, path } => {
                let is_gone = self.events.removed.contains(&cgroup_id);
                if let Some(key) = self.created(cgroup_id, slot, path.as_deref(), now) {
                    if is_gone {
                        self.events.unread.insert(key);
                    } else {
                        self.read_once(key, now);
                    }
                }
            }
            Event::Emptied { cgroup_id } if self.events.removed.contains(&cgroup_id) => {}
            Event::Emptied { cgroup_id } => {
                if let Some(key) = self.tracker.key_of_cgroup(cgroup_id) {
                    self.read_once(key, now);
                }
            }
            Event::Removed { cgroup_id, slot } => {
                self.events.ended_by_walk.remove(&cgroup_id);
                match (self.tracker.key_of_cgroup(cgroup_id), slot) {
                    (Some(key), _) => self.ended(key, now),
                    (None, Some(slot)) => self.release_slot(slot, cgroup_id),
                    (None, None) => {}
                }
            }
        }
    }
}
