//! Returns memory to the kernel after a burst of containers. glibc keeps memory that was freed in the middle of its
//! heap, so an agent that once tracked a thousand containers would keep that size forever.
//!
//! Every [`PERIOD`], tables are shrunk to their content and free pages of the heap are returned. This does not depend
//! on the size of the heap, because the size does not show how much of the heap is in use: the agent may have been
//! started during a burst. It takes one or two milliseconds.

use std::time::{Duration, Instant};

/// The time between two returns.
const PERIOD: Duration = Duration::from_secs(30);

/// When memory was last returned.
pub(super) struct Memory(Instant);

impl Default for Memory {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Memory {
    /// True if memory should be returned now.
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
