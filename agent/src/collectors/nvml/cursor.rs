//! The read position in one of the driver's sample buffers.

use std::time::{Duration, Instant};

/// After this time without a new sample, the clock may have been set back. The position is then reset; the buffer
/// contains only some seconds.
const EMPTY_MAX: Duration = Duration::from_secs(60);

/// The read position in a buffer of samples with timestamps.
#[derive(Default)]
pub(super) struct Cursor {
    /// The newest timestamp so far, in µs; `None` before the first sample.
    seen_us: Option<u64>,
    empty_since: Option<Instant>,
}

impl Cursor {
    /// The timestamp after which samples are requested.
    pub(super) fn seen_us(&self) -> u64 {
        self.seen_us.unwrap_or(0)
    }

    /// Returns the new samples. The first call returns none, because the buffer contains samples from before the
    /// agent's start.
    pub(super) fn news<T>(&mut self, samples: impl Iterator<Item = (u64, T)>, now: Instant) -> Vec<T> {
        let first = self.seen_us.is_none();
        let before = self.seen_us();
        let mut newest = before;
        let mut news = Vec::new();
        for (timestamp_us, sample) in samples.filter(|(timestamp_us, _)| *timestamp_us > before) {
            newest = newest.max(timestamp_us);
            news.push(sample);
        }
        if newest > before {
            self.seen_us = Some(newest);
            self.empty_since = None;
        } else if now.duration_since(*self.empty_since.get_or_insert(now)) >= EMPTY_MAX {
            self.seen_us = self.seen_us.map(|_| 0);
            self.empty_since = None;
        }
        if first { Vec::new() } else { news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_clock_was_set_back_samples_are_counted_again() {
        let start = Instant::now();
        let mut cursor = Cursor::default();
        cursor.news([(1_000_000, 1)].into_iter(), start);
        let mut at = |seconds| cursor.news([(5, 1)].into_iter(), start + Duration::from_secs(seconds));
        assert!([1, 30, 61].into_iter().all(|second| at(second).is_empty()));
        assert_eq!(at(62), [1], "no sample was counted after the clock was set back");
        assert!(at(63).is_empty());
    }
}
