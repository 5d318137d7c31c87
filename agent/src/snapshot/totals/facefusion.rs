//! FaceFusion's jobs over several runs of a container.

use glassbox_ebpf::counters::Counters as _;

use super::Accumulate;
use crate::snapshot::facefusion::{FaceFusion, FaceFusionCounters, IgnoredFiles};

impl Accumulate for FaceFusion {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { counters, drafted: _, queued: _, running: _, stopped: _, current: _ } = self;
        counters.accumulate(&earlier.counters);
    }

    fn counters(&self) -> Self {
        Self { counters: self.counters.clone(), ..Self::default() }
    }
}

impl Accumulate for FaceFusionCounters {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            completed,
            failed,
            abandoned,
            retries,
            steps_completed,
            steps_failed,
            processors,
            queue_waits,
            durations,
            phases_ns,
            frames,
            ignored,
        } = self;
        completed.add(&earlier.completed);
        failed.add(&earlier.failed);
        abandoned.add(&earlier.abandoned);
        retries.add(&earlier.retries);
        steps_completed.add(&earlier.steps_completed);
        steps_failed.add(&earlier.steps_failed);
        processors.add(&earlier.processors);
        queue_waits.add(&earlier.queue_waits);
        durations.add(&earlier.durations);
        phases_ns.add(&earlier.phases_ns);
        frames.add(&earlier.frames);
        ignored.accumulate(&earlier.ignored);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for IgnoredFiles {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { unreadable, too_large, special, too_many } = self;
        unreadable.add(&earlier.unreadable);
        too_large.add(&earlier.too_large);
        special.add(&earlier.special);
        too_many.add(&earlier.too_many);
    }

    fn counters(&self) -> Self {
        *self
    }
}
