//! The state of a GPU that is kept from round to round, also while the GPU is lost.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{calls::SkippedCalls, cursor::Cursor, meter::Meter, plausible::Quantity, processes::Accounts};
use crate::snapshot::gpu::{Gpu, RatioHistogram};

/// The window of a maximum: longer than the usual scrape interval, so that every peak appears in a scrape.
pub(super) const PEAK_WINDOW: Duration = Duration::from_secs(15);
/// The history of one GPU.
#[derive(Default)]
pub(super) struct History {
    /// The GPU's identity, if it has a unique ID.
    pub(super) identity: Option<Gpu>,
    pub(super) resting: SkippedCalls,
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
    /// Counts the samples that were added to the driver's buffer since the last call. The samples are percentages.
    pub(super) fn add_utilization(&mut self, samples: impl Iterator<Item = (u64, u32)>, now: Instant) {
        let histogram = self.utilization.get_or_insert_default();
        for percent in self.buffer.news(samples, now) {
            histogram.add_percent(percent);
            self.utilization_peak.add(f64::from(percent) / 100.0, now);
        }
    }

    pub(super) fn add_xid(&mut self, number: u64) {
        // About 170 Xid numbers exist. The limit keeps a library with invented numbers from filling the memory.
        if self.xids.len() < 256 || self.xids.contains_key(&number) {
            *self.xids.entry(number).or_default() += 1;
        }
        self.last_xid = Some(number);
    }
}

/// The maximum over [`PEAK_WINDOW`].
#[derive(Default)]
pub(super) struct Peak {
    /// Decreasing values: each is the highest since its time.
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
    fn a_peak_is_kept_for_its_window_and_then_replaced_by_the_next() {
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
    fn every_sample_since_the_start_is_counted_once() {
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
