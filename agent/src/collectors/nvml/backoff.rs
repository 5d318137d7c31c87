//! The wait before NVML is loaded again.
//!
//! At every initialization the driver retries each failed GPU, which takes seconds under the driver's locks and writes
//! a dozen lines to the kernel log. Therefore the wait doubles with each unsuccessful attempt. It is reset when a
//! device or the driver's module appears or changes.

use std::time::Duration;

pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most: most.max(first), next: first }
    }

    /// The wait after another unsuccessful attempt.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait
    }

    /// Resets the wait.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_until_it_is_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(600));
        let waits: Vec<_> = (0..9).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        backoff.reset();
        assert_eq!(backoff.next().as_secs(), 10);
    }
}
