//! Counters of events that the kernel programs had to drop or could not measure.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use glassbox_ebpf::Lost;

#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(Lost::ALL.len() as u32, 0);

#[inline(always)]
pub(crate) fn count(lost: Lost) {
    let _ = counted(lost);
}

/// Counts one event and returns the new count of this CPU.
#[inline(always)]
pub(crate) fn counted(lost: Lost) -> u64 {
    let Some(counter) = LOST.get_ptr_mut(lost as u32) else { return 0 };
    // SAFETY: the element belongs to this CPU, and tracing programs do not migrate.
    unsafe {
        *counter += 1;
        *counter
    }
}
