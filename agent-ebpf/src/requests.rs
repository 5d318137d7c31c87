//! Requests over HTTP/1.1 that a container serves: what the kernel programs and the agent share.
pub mod answered;
pub mod budget;
pub mod chunk;
pub mod connection;
pub mod first_line;
pub mod follow;
pub mod head;
pub mod piece;
pub mod retries;
pub mod route;
pub mod service;
pub mod slow;
pub mod upload;

/// The counter of a loop. Keeps the compiler from unrolling the loop, which takes more stack than the kernel provides.
/// The verifier still knows the value.
#[inline(always)]
#[must_use]
pub fn rolled(index: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut index = index;
        // SAFETY: copies a register to itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) index) };
        index
    }
    #[cfg(not(target_arch = "bpf"))]
    index
}

/// An array of zeros, written word by word: the compiler would call a function that writes byte by byte.
#[inline(always)]
#[must_use]
pub fn zeros<const N: usize>() -> [u64; N] {
    let mut words = core::mem::MaybeUninit::<[u64; N]>::uninit();
    let start = words.as_mut_ptr().cast::<u64>();
    let mut index = 0;
    while index < N {
        // SAFETY: within the array.
        unsafe { start.add(index).write_volatile(0) };
        index = rolled(index + 1);
    }
    // SAFETY: every word was written.
    unsafe { words.assume_init() }
}

/// Sets a number to 0. The compiler would otherwise combine several into a call of a function that writes byte by byte.
#[inline(always)]
pub(crate) fn clear(number: &mut u64) {
    // SAFETY: a valid reference.
    unsafe { core::ptr::from_mut(number).write_volatile(0) };
}
