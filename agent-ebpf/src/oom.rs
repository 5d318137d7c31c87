//! Constants of the OOM programs, which count processes that the OOM killer killed, per container slot.
//!
//! The kernel chooses victims under its `oom_lock`, one at a time, so each plain counter has one writer at a time. The
//! counter of the shared slot counts all kills on the host, inside and outside of containers. User space reads it once
//! per tick and reads the other counters only if it has changed. It is incremented after the counter of the container's
//! slot, so a reader that sees the new value also sees the other counter's new value.

/// Entries that identify recent victims, direct-mapped by process; a power of two. Few entries suffice, because victims
/// are rare and each is looked up within milliseconds.
pub const VICTIMS: u32 = 64;
/// Number of the signal SIGKILL.
pub const SIGKILL: u64 = 9;
/// Value of a signal's `info` argument if the kernel itself sends the signal (`SEND_SIG_PRIV`).
pub const BY_THE_KERNEL: u64 = 1;
