//! Warnings about lost data: at most one line per source and [`PERIOD`], while the source grows. The counters contain
//! every loss.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use glassbox_ebpf::Lost;

use super::Engine;
use crate::{kernel::Kernel, snapshot::losses};

/// The minimum time between two reports of one source.
const PERIOD: Duration = Duration::from_secs(600);

/// The sources that were reported.
#[derive(Default)]
pub(super) struct Reports(HashMap<&'static str, Reported>);

struct Reported {
    count: u64,
    at: Instant,
}

impl Reports {
    /// Logs the sources that have grown since they were last reported.
    pub(super) fn report(&mut self, lost: &[(&'static str, u64)], now: Instant) {
        for (name, new) in self.due(lost, now) {
            if let Some(source) = losses::source(name) {
                tracing::warn!("{new} losses of {name}: {} {}", source.meaning, source.remedy);
            }
        }
    }

    /// The sources to report, each with its growth.
    fn due(&mut self, lost: &[(&'static str, u64)], now: Instant) -> Vec<(&'static str, u64)> {
        let mut due = Vec::new();
        for &(name, count) in lost.iter().filter(|(name, count)| *count > 0 && !losses::is_imprecision(name))
        {
            let before = self.0.get(name);
            let new = count - before.map_or(0, |reported| reported.count.min(count));
            if new > 0 && before.is_none_or(|reported| now.duration_since(reported.at) >= PERIOD) {
                self.0.insert(name, Reported { count, at: now });
                due.push((name, new));
            }
        }
        due
    }
}

impl Engine {
    /// What was lost so far, by source. Every source is present, including those of collectors that are off.
    pub(super) fn lost(&mut self) -> Vec<(&'static str, u64)> {
        let mut lost: Vec<_> = losses::SOURCES.iter().map(|source| (source.name, 0)).collect();
        let mut add = |name, count| match lost.iter_mut().find(|(other, _)| *other == name) {
            Some((_, total)) => *total += count,
            None => lost.push((name, count)),
        };
        for (kind, count) in self.kernel.iter().flat_map(Kernel::lost) {
            add(kind.source(), count);
        }
        add(Lost::CgroupSlots.source(), self.refused.slots);
        add(Lost::CgroupTable.source(), self.refused.entries);
        add("ended_containers", self.tracker.dropped());
        add("cgroup_walk", self.walks.truncated);
        for running in &mut self.collectors {
            running.with(|collector| collector.lost().iter().for_each(|(name, count)| add(name, *count)));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_grows_at_every_tick_is_reported_once_per_period() {
        let (mut reports, begun) = (Reports::default(), Instant::now());
        let mut at = |second: u64, lost: &[(&'static str, u64)]| {
            reports.due(lost, begun + Duration::from_secs(second))
        };
        assert_eq!(at(0, &[("cgroup_slots", 0)]), []);
        assert_eq!(at(1, &[("cgroup_slots", 3)]), [("cgroup_slots", 3)]);
        for second in 2..600 {
            assert_eq!(at(second, &[("cgroup_slots", 3 + second)]), []);
        }
        assert_eq!(
            at(601, &[("cgroup_slots", 700), ("cgroup_walk", 1)]),
            [("cgroup_slots", 697), ("cgroup_walk", 1)]
        );
        assert_eq!(at(2000, &[("cgroup_slots", 700)]), []);
    }

    #[test]
    fn imprecision_is_not_reported() {
        let mut reports = Reports::default();
        assert_eq!(reports.due(&[("scheduler_unqueued", 9), ("scheduler_waits", 9)], Instant::now()), []);
    }
}
