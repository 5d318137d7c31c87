//! Gives memory back after a storm. glibc keeps what was freed in the middle of its heaps, so that an agent that once held
//! a thousand containers would stay as large for ever.
//!
//! Looked at every [`PERIOD`]: if the process is more than a tenth larger than the smallest it was, tables are cut to their
//! content and the heaps' free pages are returned. That takes a millisecond or two.

use std::time::{Duration, Instant};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(30);

/// When memory was last given back, and how small the process was.
pub(super) struct Memory {
    looked: Instant,
    least_bytes: Option<u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { looked: Instant::now(), least_bytes: None }
    }
}

impl Memory {
    /// True if memory should be given back now.
    pub(super) fn is_due(&mut self) -> bool {
        if self.looked.elapsed() < PERIOD {
            return false;
        }
        self.looked = Instant::now();
        let Some(resident) = resident_bytes() else { return true };
        self.grew(resident)
    }

    /// Notes the size of the process; true if it is more than a tenth larger than it was once.
    fn grew(&mut self, resident_bytes: u64) -> bool {
        let least = self.least_bytes.map_or(resident_bytes, |least| least.min(resident_bytes));
        self.least_bytes = Some(least);
        resident_bytes > least + least / 10
    }
}

/// Returns free pages of the heaps to the kernel.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it only returns free pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The second number of `statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: no preconditions.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(page_bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_grew_by_more_than_a_tenth_gives_memory_back_until_it_is_small_again() {
        let mut memory = Memory::default();
        let sizes = [100, 105, 200, 200, 109, 50, 56, 55];
        assert_eq!(
            sizes.map(|size| memory.grew(size)),
            [false, false, true, true, false, false, true, false]
        );
        assert!(!memory.is_due(), "too early");
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
