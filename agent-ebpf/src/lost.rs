//! Counters of what the kernel side could not keep.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use glassbox_ebpf::Lost;

#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(Lost::ALL.len() as u32, 0);

#[inline(always)]
pub(crate) fn count(lost: Lost) {
    let _ = counted(lost);
}

/// Counts one more, and returns how many that makes on this CPU.
#[inline(always)]
pub(crate) fn counted(lost: Lost) -> u64 {
    let Some(counter) = LOST.get_ptr_mut(lost as u32) else { return 0 };
    // SAFETY: the element is this CPU's own, and tracing programs do not migrate.
    unsafe {
        *counter += 1;
        *counter
    }
}
