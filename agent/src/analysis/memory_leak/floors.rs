//! The floors of one kind of memory of one container: at most [`FLOORS_MAX`], 24 bytes each.

use std::{collections::VecDeque, time::Duration};

use super::trend::{self, FLOORS_MAX, Floor};
use crate::snapshot::memory_leak::Trend;

/// Number of jobs whose growth is ignored: they load models and fill caches and arenas.
pub(super) const WARM_UP_JOBS: u64 = 2;
/// After this long without work a floor counts, because memory that is freed late has been freed. The next busy period
/// ends the wait.
const CONFIRMED_AFTER: Duration = Duration::from_secs(60);

/// Floors, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Floors {
    /// Those that count.
    counted: VecDeque<Floor>,
    /// The latest one.
    latest: Option<Floor>,
    /// Whether the latest one is in `counted`.
    is_counted: bool,
    /// The trend of those that count, and whether it is a suspected leak.
    trend: Option<(Trend, bool)>,
    /// The latest one when the trend was computed, in bytes.
    judged_bytes: u64,
}

impl Floors {
    /// The memory at a moment without work, after this number of jobs.
    pub(super) fn measure(&mut self, now: Floor) {
        match &mut self.latest {
            Some(latest) if latest.jobs == now.jobs => {
                latest.bytes = latest.bytes.min(now.bytes);
                let (at, bytes) = (latest.at, latest.bytes);
                if self.is_counted {
                    if let Some(counted) = self.counted.back_mut() {
                        counted.bytes = bytes;
                    }
                    if self.judged_bytes.saturating_sub(bytes) as f64 >= trend::STEP_MIN_BYTES {
                        self.judge();
                    }
                } else if now.at.saturating_sub(at) >= CONFIRMED_AFTER {
                    self.count();
                }
            }
            _ => {
                self.count();
                (self.latest, self.is_counted) = (Some(now), false);
            }
        }
    }

    /// Lets the latest floor count, because a busy period begins.
    pub(super) fn count(&mut self) {
        let Some(latest) = self.latest.filter(|_| !self.is_counted) else { return };
        self.is_counted = true;
        if latest.jobs < WARM_UP_JOBS {
            return;
        }
        if self.counted.len() >= FLOORS_MAX {
            self.counted.pop_front();
        }
        self.counted.push_back(latest);
        self.judge();
    }

    fn judge(&mut self) {
        self.trend = trend::of(self.counted.make_contiguous());
        self.judged_bytes = self.counted.back().map_or(0, |floor| floor.bytes);
    }

    /// The latest floor, in bytes.
    pub(super) fn latest_bytes(&self) -> Option<u64> {
        self.latest.map(|floor| floor.bytes)
    }

    /// The trend, and whether it is a suspected leak.
    pub(super) const fn trend(&self) -> Option<(Trend, bool)> {
        self.trend
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counted.len()
    }
}
