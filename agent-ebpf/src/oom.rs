//! Constants of the OOM programs, which count processes that the OOM killer killed, per container slot.
//!
//! The kernel chooses victims under its `oom_lock`, one at a time, so each plain counter has one writer at a time. The
//! counter of the shared slot counts all kills on the host, inside and outside of containers. User space reads it once
//! per tick and reads the other counters only if it has changed. It is incremented after the counter of the container's
//! slot, so a reader that sees the new value also sees the other counter's new value.

/// Entries that identify recent victims, direct-mapped by the thread that kills; a power of two. Few entries suffice, because
/// victims are rare and each is looked up within milliseconds.
pub const VICTIMS: u32 = 64;
/// Bits of a thread ID: the kernel's limit is 2^22.
const PID_BITS: u32 = 22;
/// Position of the slot in a [`victim_note`].
pub const SLOT_SHIFT: u32 = 2 * PID_BITS;
/// Number of the signal SIGKILL.
pub const SIGKILL: u64 = 9;
/// Value of a signal's `info` argument if the kernel itself sends the signal (`SEND_SIG_PRIV`).
pub const BY_THE_KERNEL: u64 = 1;

/// A process that the kernel kills: its slot, the thread that sends the signal and the thread that gets it, in one word, so that
/// a reader never sees parts of two notes.
#[must_use]
pub const fn victim_note(slot: u32, sender: u32, pid: u32) -> u64 {
    let mask = (1 << PID_BITS) - 1;
    (slot as u64) << SLOT_SHIFT | ((sender & mask) as u64) << PID_BITS | (pid & mask) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_note_do_not_overlap() {
        let most = (1 << PID_BITS) - 1;
        assert_eq!(victim_note(16_384, most, 0) >> SLOT_SHIFT, 16_384);
        assert_eq!(victim_note(0, most, 0) & victim_note(0, 0, most), 0);
        assert_eq!(victim_note(1, 2, 3), 1 << 44 | 2 << 22 | 3);
    }
}
