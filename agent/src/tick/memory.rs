//! Gives memory back after a storm. glibc keeps what was freed in the middle of its heap, so that an agent that once held
//! a thousand containers would stay as large for ever.
//!
//! Every [`PERIOD`] tables are cut to their content and the heap's free pages are returned. Always, because how large the
//! agent would be without them cannot be seen from outside the heap: it may have been started in the middle of a storm.
//! That takes a millisecond or two.

use std::time::{Duration, Instant};

/// Between two returns.
const PERIOD: Duration = Duration::from_secs(30);

/// When memory was last given back.
pub(super) struct Memory(Instant);

impl Default for Memory {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Memory {
    /// True if memory should be given back now.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.0.elapsed() >= PERIOD;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}

/// Returns free pages of the heap to the kernel.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it only returns free pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}
