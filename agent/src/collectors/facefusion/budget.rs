//! How much one update reads of the files of a container, which may have any number of them.

use std::time::{Duration, Instant};

/// Maximum number of bytes that are read.
const BYTES_MAX: u64 = 2 * 1024 * 1024;
/// No file is opened after the files have taken this long.
const TIME_MAX: Duration = Duration::from_millis(20);

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: BYTES_MAX, time: TIME_MAX }
    }
}

impl Budget {
    pub(super) const fn is_spent(&self) -> bool {
        self.bytes == 0 || self.time.is_zero()
    }

    /// Maximum number of bytes of the next file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A file was used since `begun`, and this number of bytes was read.
    pub(super) fn spend(&mut self, bytes: u64, begun: Instant) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.time = self.time.saturating_sub(begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_are_limited() {
        let mut budget = Budget::default();
        budget.spend(BYTES_MAX - 1, Instant::now());
        assert!(!budget.is_spent() && budget.bytes() == 1);
        budget.spend(2, Instant::now());
        assert!(budget.is_spent());
        let mut budget = Budget::default();
        budget.spend(0, Instant::now().checked_sub(TIME_MAX).unwrap());
        assert!(budget.is_spent());
    }
}
