//! The only pointer arithmetic on kernel structures.
//!
//! A pointer that the kernel handed over with a type (a tp_btf argument, or what such a pointer leads to) may
//! be read directly: the verifier knows the type and the kernel makes a fault read as 0. That costs about 1
//! ns, against some 48 ns for `bpf_probe_read_kernel` (6.18, one field).

use core::arch::asm;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};
use glassbox_ebpf::offsets::ABSENT;

/// Reads a field of a typed kernel structure; `None` where this kernel has no such field.
///
/// The check is needed: the verifier refuses pointer arithmetic with an offset of 2^32 - 1, and prunes it
/// behind a comparison of two constants.
#[inline(always)]
pub(crate) fn field<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the verifier accepts only typed pointers and members inside the type; faults read as 0.
    Some(unsafe { base.add(offset as usize).cast::<T>().read_volatile() })
}

/// Reads a field of a typed kernel structure that the method needs, so that a kernel without it never gets
/// here: the plan leaves the program out, and were it to slip, the verifier would refuse it. Four
/// instructions less than [`field`] on every switch.
#[inline(always)]
pub(crate) fn present<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: as in `field`.
    unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
}

/// Reads kernel memory at an address that no type vouches for; `None` where there is none. For hooks that run
/// thousands of times a second, not hundreds of thousands.
#[inline(always)]
pub(crate) fn kernel<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// Reads the current process's memory; `None` where it is not mapped or not resident.
#[inline(always)]
pub(crate) fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Adds to a counter that other CPUs count in, too.
///
/// # Safety
/// `counter` must be aligned and within a map element.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // The target has no atomic types; this is BPF's own instruction, of all kernels (BPF_XADD).
    // SAFETY: the caller's promise.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount)
    };
}
