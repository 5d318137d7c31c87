//! One point in time on two clocks. Ages and deadlines use the monotonic clock, because the wall clock can be set while
//! the agent runs, at boot by hours. The wall clock is only used for timestamps that people and Prometheus see.

use std::time::{Duration, Instant, SystemTime};

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock, for timestamps.
    pub wall: SystemTime,
    /// The monotonic clock, for durations.
    pub monotonic: Instant,
}

impl Moment {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// The monotonic time of an external timestamp, as of now. Call this when the timestamp arrives: from then on,
    /// setting the wall clock does not change its age. A timestamp in the future is treated as now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the wall-clock timestamp has just arrived")]
    pub fn place(&self, timestamp: SystemTime) -> Instant {
        let age = self.wall.duration_since(timestamp).unwrap_or(Duration::ZERO);
        self.monotonic.checked_sub(age).unwrap_or(self.monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_the_age_that_it_had_on_arrival() {
        let now = Moment::now();
        let age = |timestamp| now.monotonic.duration_since(now.place(timestamp));
        assert_eq!(age(now.wall - Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(age(now.wall + Duration::from_secs(3600)), Duration::ZERO);
        assert!(age(SystemTime::UNIX_EPOCH) > Duration::from_secs(1));
    }
}
