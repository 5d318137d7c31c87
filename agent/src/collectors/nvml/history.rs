//! What is remembered of a GPU from round to round, also over a loss and a return.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{calls::Resting, cursor::Cursor, meter::Meter, plausible::Quantity, processes::Accounts};
use crate::snapshot::gpu::{Gpu, RatioHistogram};

/// How far back a maximum reaches: over the usual interval between two scrapes, so that a peak is in one of them.
pub(super) const PEAK_WINDOW: Duration = Duration::from_secs(15);
/// One GPU's past.
#[derive(Default)]
pub(super) struct History {
    /// Who it is, if it has a unique id.
    pub(super) identity: Option<Gpu>,
    pub(super) resting: Resting,
    pub(super) buffer: Cursor,
    pub(super) utilization: Option<RatioHistogram>,
    pub(super) utilization_peak: Peak,
    pub(super) memory_peak: Peak,
    pub(super) power_peak: Peak,
    /// The power limit as last read, in watts.
    pub(super) power_limit_watts: Option<f64>,
    /// Counters, by quantity and label.
    pub(super) meters: HashMap<(Quantity, &'static str), Meter>,
    pub(super) xids: BTreeMap<u64, u64>,
    pub(super) last_xid: Option<u64>,
    pub(super) accounts: Accounts,
}

impl History {
    /// Counts what the driver's buffer holds beyond what it held at the last call. The samples are percentages.
    pub(super) fn add_utilization(&mut self, samples: impl Iterator<Item = (u64, u32)>, now: Instant) {
        let histogram = self.utilization.get_or_insert_default();
        for percent in self.buffer.news(samples, now) {
            histogram.add_percent(percent);
            self.utilization_peak.add(f64::from(percent) / 100.0, now);
        }
    }

    pub(super) fn add_xid(&mut self, number: u64) {
        // There are some 170 of them; a library that makes up numbers is not to fill the memory.
        if self.xids.len() < 256 || self.xids.contains_key(&number) {
            *self.xids.entry(number).or_default() += 1;
        }
        self.last_xid = Some(number);
    }
}

/// The maximum over [`PEAK_WINDOW`].
#[derive(Default)]
pub(super) struct Peak {
    /// Falling values: each was the highest since it came.
    values: VecDeque<(Instant, f64)>,
}

impl Peak {
    pub(super) fn add(&mut self, value: f64, now: Instant) {
        while self.values.back().is_some_and(|(_, last)| *last <= value) {
            self.values.pop_back();
        }
        self.values.push_back((now, value));
        self.expire(now);
    }

    pub(super) fn max(&mut self, now: Instant) -> Option<f64> {
        self.expire(now);
        self.values.front().map(|(_, value)| *value)
    }

    fn expire(&mut self, now: Instant) {
        while self.values.front().is_some_and(|(at, _)| now.duration_since(*at) > PEAK_WINDOW) {
            self.values.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_for_its_window_and_then_gives_way_to_the_next() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut peak = Peak::default();
        assert_eq!(peak.max(at(0)), None);
        for (second, value) in [(0, 0.2), (1, 0.9), (2, 0.5), (3, 0.4)] {
            peak.add(value, at(second));
        }
        assert_eq!(peak.max(at(3)), Some(0.9));
        assert_eq!(peak.max(at(16)), Some(0.9));
        assert_eq!(peak.max(at(17)), Some(0.5));
        assert_eq!(peak.max(at(100)), None);
    }

    #[test]
    fn every_sample_is_counted_once_and_none_from_before_the_start() {
        let mut history = History::default();
        let now = Instant::now();
        history.add_utilization([(10, 50), (20, 60)].into_iter(), now);
        history.add_utilization([(20, 60), (30, 100), (40, 0)].into_iter(), now);
        history.add_utilization([].into_iter(), now);
        history.add_utilization([(30, 100), (50, 7)].into_iter(), now);
        let histogram = history.utilization.unwrap();
        assert_eq!(histogram.counts.iter().sum::<u64>(), 3);
        assert!((histogram.sum - 1.07).abs() < 1e-9);
        assert_eq!(history.utilization_peak.max(now), Some(1.0));
    }
}
