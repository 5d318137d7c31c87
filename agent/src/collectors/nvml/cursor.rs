//! How far one of the driver's buffers of samples was read.

use std::time::{Duration, Instant};

/// After so long without a sample the clock may have been set back: the buffer, which reaches back some seconds, is taken
/// up afresh.
const EMPTY_MAX: Duration = Duration::from_secs(60);

/// How far a buffer of samples with timestamps was read.
#[derive(Default)]
pub(super) struct Cursor {
    /// The newest timestamp that was seen, µs; `None` before the first sample.
    seen_us: Option<u64>,
    empty_since: Option<Instant>,
}

impl Cursor {
    /// What to ask for samples after.
    pub(super) fn seen_us(&self) -> u64 {
        self.seen_us.unwrap_or(0)
    }

    /// The samples that are new. Of the first answer none: it reaches back to before the agent started.
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
    fn a_clock_that_was_set_back_is_taken_up_again() {
        let start = Instant::now();
        let mut cursor = Cursor::default();
        cursor.news([(1_000_000, 1)].into_iter(), start);
        let mut at = |seconds| cursor.news([(5, 1)].into_iter(), start + Duration::from_secs(seconds));
        assert!([1, 30, 61].into_iter().all(|second| at(second).is_empty()));
        assert_eq!(at(62), [1], "nothing of the buffer was counted since");
        assert!(at(63).is_empty());
    }
}
