//! Keeps the programs below the verifier's limit of a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS`).
//!
//! The verifier follows all paths through a program. It prunes a path only at a point that it has already verified with
//! a state that covers the current one. If a value comes from a table of constants, the verifier tracks each constant
//! and verifies the rest of the program once per constant.

use core::arch::asm;

/// Returns the same value, but the verifier no longer tracks it. `unknown` is any value that the verifier cannot
/// predict, for example the time. Costs two instructions.
#[inline(always)]
pub(crate) fn forgotten(mut value: u64, unknown: u64) -> u64 {
    // SAFETY: arithmetic on a register, modulo 2^64.
    unsafe {
        asm!("{value} += {unknown}", "{value} -= {unknown}", value = inout(reg) value, unknown = in(reg) unknown)
    };
    value
}
