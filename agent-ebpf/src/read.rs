//! Reads of kernel and user memory. No other module does pointer arithmetic on kernel structures.
//!
//! A pointer with a type that the verifier tracks (a tp_btf argument, or a pointer read through one) can be
//! dereferenced directly: the verifier checks the access, and the kernel returns 0 on a fault. A direct read costs
//! about 1 ns, `bpf_probe_read_kernel` some 48 ns (6.18, one field).

use core::arch::asm;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};
use glassbox_ebpf::offsets::ABSENT;

/// Reads a field of a typed kernel structure; `None` if this kernel has no such field.
///
/// The check is required because the verifier rejects pointer arithmetic with an offset of 2^32 - 1. It compares two
/// constants, so the verifier prunes the branch that is not taken.
#[inline(always)]
pub(crate) fn field<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the verifier accepts only typed pointers and members inside the type; faults read as 0.
    Some(unsafe { base.add(offset as usize).cast::<T>().read_volatile() })
}

/// Reads a field of a typed kernel structure that the attach method requires. On a kernel without the field, the attach
/// plan skips the program; if it did not, the verifier would reject the program. Saves four instructions per read
/// compared with [`field`].
#[inline(always)]
pub(crate) fn present<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: as in `field`.
    unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
}

/// Reads kernel memory at an untyped address; `None` if the address cannot be read. For hooks that run thousands of
/// times per second, not hundreds of thousands.
#[inline(always)]
pub(crate) fn kernel<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// Reads memory of the current process; `None` if it is not mapped or not resident.
#[inline(always)]
pub(crate) fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Atomically adds to a counter that several CPUs write.
///
/// # Safety
/// `counter` must be aligned and within a map element.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // The Rust target has no atomic types. This BPF instruction (BPF_XADD) exists in all kernels.
    // SAFETY: guaranteed by the caller.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount)
    };
}
