//! What the OOM programs count: processes that the kernel killed because memory ran out, per container slot.
//!
//! The kernel chooses victims under its `oom_lock`, one at a time, so one plain counter per slot has one writer. The
//! counter of the shared slot counts every kill on the host, in a container or not: user space reads it once per tick
//! and looks no further while it stands still. It grows after the slot's own, so who sees it grow sees the other, too.

/// Entries by which a victim is known again, direct-mapped by process; a power of two. Victims are rare, and are
/// looked for within milliseconds.
pub const VICTIMS: u32 = 64;
/// The signal that kills.
pub const SIGKILL: u64 = 9;
/// What the kernel gives in place of a signal's origin where it sends the signal itself (`SEND_SIG_PRIV`).
pub const BY_THE_KERNEL: u64 = 1;
