//! What keeps the kernel's verifier from its limit of a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS`).
//!
//! It follows every path through a program, and gives up a path only where it has been before knowing no more than now.
//! Where a value came out of a table of constants, it knows which, and follows the rest of the program once for each.

use core::arch::asm;

/// The same value, of which the verifier knows nothing any more. `unknown` is any value that it cannot know, such as the
/// time. Costs two instructions.
#[inline(always)]
pub(crate) fn forgotten(mut value: u64, unknown: u64) -> u64 {
    // SAFETY: arithmetic on a register, modulo 2^64.
    unsafe {
        asm!("{value} += {unknown}", "{value} -= {unknown}", value = inout(reg) value, unknown = in(reg) unknown)
    };
    value
}
