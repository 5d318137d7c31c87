//! One point in time on two clocks. Ages and deadlines come from the monotonic one: the wall clock is set while the agent
//! runs, at boot by hours. The wall clock only dates what is shown to people and Prometheus.

use std::time::{Duration, Instant, SystemTime};

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the wall clock shows: for timestamps.
    pub wall: SystemTime,
    /// The monotonic clock: for durations.
    pub monotonic: Instant,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// The monotonic time of a timestamp that somebody else gave, as of now. To be called when the timestamp arrives: after
    /// that, setting the wall clock no longer changes its age. One in the future has just happened.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the timestamp is of the wall clock and has just arrived")]
    pub fn place(&self, timestamp: SystemTime) -> Instant {
        let age = self.wall.duration_since(timestamp).unwrap_or(Duration::ZERO);
        self.monotonic.checked_sub(age).unwrap_or(self.monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_the_age_it_had_when_it_arrived() {
        let now = Moment::now();
        let age = |timestamp| now.monotonic.duration_since(now.place(timestamp));
        assert_eq!(age(now.wall - Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(age(now.wall + Duration::from_secs(3600)), Duration::ZERO);
        assert!(age(SystemTime::UNIX_EPOCH) > Duration::from_secs(1));
    }
}
