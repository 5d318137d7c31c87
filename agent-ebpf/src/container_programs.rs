//! Names and counters of the programs that containers run, such as ffmpeg, and of their processes.
//!
//! A program is known by its name: that of the file which a process executes, or of the link that leads to the file.
//! The kernel keeps its first 15 bytes (`task_struct.comm`). A process belongs to a program from the `exec` with that
//! name until its last thread exits, or until it executes another program.

use crate::counters::{PerSlot, counters};

/// Maximum number of names.
pub const PROGRAMS_MAX: usize = 8;
/// Maximum length of a name in bytes: what the kernel keeps of it.
pub const NAME_MAX_BYTES: usize = 15;
/// Maximum number of processes of all containers that run listed programs at the same time.
pub const RUNS: u32 = 2048;
/// Maximum number of such processes of one container.
pub const RUNS_PER_CONTAINER: i64 = 256;
/// `SIGNAL_GROUP_EXIT` of include/linux/sched/signal.h: all threads of the process exit, with one status.
pub const SIGNAL_GROUP_EXIT: u32 = 4;

/// How a process ended, as indices of [`ProgramCounters::exits`].
pub mod result {
    /// It exited with status 0.
    pub const SUCCESS: usize = 0;
    /// It exited with another status.
    pub const ERROR: usize = 1;
    /// A signal killed it.
    pub const SIGNAL: usize = 2;
    /// It executed another program, so the program ended and the process did not.
    pub const REPLACED: usize = 3;
    /// The number of results.
    pub const COUNT: usize = 4;
}

/// The result of a process with this wait status.
#[inline(always)]
#[must_use]
pub const fn result_of(status: u32) -> usize {
    if status & 0x7f != 0 {
        result::SIGNAL
    } else if status & 0xff00 != 0 {
        result::ERROR
    } else {
        result::SUCCESS
    }
}

/// A name, and the bits of a task's name that must be equal to it: those up to and including its NUL. What follows the
/// NUL in a task's name may be left of an earlier one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramName {
    /// The name, padded with NUL.
    pub words: [u64; 2],
    /// The bits to compare.
    pub mask: [u64; 2],
}

impl ProgramName {
    /// Matches no task.
    pub const NONE: Self = Self { words: [u64::MAX; 2], mask: [0; 2] };

    /// The name, of which only the first [`NAME_MAX_BYTES`] bytes are compared.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (mut bytes, mut mask) = ([0; 16], [0; 16]);
        for (index, byte) in name.bytes().take(NAME_MAX_BYTES).enumerate() {
            (bytes[index], mask[index], mask[index + 1]) = (byte, 0xff, 0xff);
        }
        Self { words: words(bytes), mask: words(mask) }
    }

    /// True for a task with this name.
    #[must_use]
    pub const fn matches(&self, comm: [u64; 2]) -> bool {
        (comm[0] & self.mask[0]) ^ self.words[0] | (comm[1] & self.mask[1]) ^ self.words[1] == 0
    }
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let (first, second) = bytes.split_at(8);
    [first, second].map(|half| half.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// The names of all listed programs. Frozen before verification, so that the verifier sees constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramNames(pub [ProgramName; PROGRAMS_MAX]);

impl ProgramNames {
    /// The value in the object file, which user space overrides.
    pub const UNSET: Self = Self([ProgramName::NONE; PROGRAMS_MAX]);

    /// The first [`PROGRAMS_MAX`] of these names.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::UNSET;
        all.0.iter_mut().zip(names).for_each(|(entry, name)| *entry = ProgramName::new(name));
        all
    }
}

/// A process that runs a listed program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The slot of the container in which it executed the program.
    pub slot: u32,
    /// The position of the program in the list.
    pub program: u32,
    /// When it executed the program, in ns of CLOCK_MONOTONIC.
    pub started_ns: u64,
}

counters! {
    /// The processes of one container that run, or ran, one program, since the slot was cleared.
    pub struct ProgramCounters {
        /// Processes that executed the program.
        pub started: u64,
        /// Time from that until the end, in ns, of ended ones.
        pub ended_ns: u64,
        /// Ended processes, by [`result`].
        pub exits: [u64; result::COUNT],
    }
}

impl ProgramCounters {
    /// Processes that run the program now.
    #[must_use]
    pub fn running(&self) -> u64 {
        // A process may start and end between the reads of two fields.
        self.started.saturating_sub(self.exits.iter().sum())
    }
}

/// The listed programs of one container. All CPUs share the element, because processes are rare compared with what other
/// programs count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPrograms {
    /// Entries of the container in the map of processes.
    pub entries: i64,
    /// The counters, in the order of the list.
    pub programs: [ProgramCounters; PROGRAMS_MAX],
}

impl PerSlot for SlotPrograms {
    const EMPTY: Self = Self { entries: 0, programs: [ProgramCounters::EMPTY; PROGRAMS_MAX] };
}

// SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ProgramNames {}
// SAFETY: `repr(C)`, two u32 and a u64, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Run {}
// SAFETY: `repr(C)`, 64-bit members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SlotPrograms {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use super::*;

    /// What the kernel has in `comm` after this name, in a buffer that contained another one.
    fn comm(name: &str, before: u8) -> [u64; 2] {
        let mut bytes = [before; 16];
        bytes[15] = 0;
        let length = name.len().min(NAME_MAX_BYTES);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        bytes[length] = 0;
        words(bytes)
    }

    #[test]
    fn a_name_matches_itself_whatever_follows_its_nul() {
        for name in ["c", "curl", "ffprobe", "ffmpeg12", "nvidia-smi", "123456789012345"] {
            for before in [0, b'x', 0xff] {
                assert!(ProgramName::new(name).matches(comm(name, before)), "{name} {before}");
            }
        }
    }

    #[test]
    fn a_longer_a_shorter_and_another_name_do_not_match() {
        for (name, other) in [
            ("ffmpeg", "ffmpeg2"),
            ("ffmpeg", "ffmpe"),
            ("ffmpeg", "ffmpeh"),
            ("12345678", "1234567"),
            ("12345678", "123456789"),
            ("123456789012345", "12345678901234"),
            ("nvidia-smi", "nvidia-smx"),
            ("curl", ""),
        ] {
            assert!(!ProgramName::new(name).matches(comm(other, b'g')), "{name} {other}");
        }
        for task in ["", "ffmpeg", "\u{7f}"] {
            assert!(!ProgramName::NONE.matches(comm(task, 0xff)), "{task}");
        }
    }

    #[test]
    fn a_name_of_15_bytes_also_matches_what_the_kernel_keeps_of_longer_ones() {
        assert!(ProgramName::new("123456789012345").matches(comm("1234567890123456", 0)));
    }

    #[test]
    fn a_wait_status_has_a_result() {
        for (status, expected) in [
            (0, result::SUCCESS),
            (3 << 8, result::ERROR),
            (255 << 8, result::ERROR),
            (9, result::SIGNAL),
            // With a core dump.
            (11 | 0x80, result::SIGNAL),
        ] {
            assert_eq!(result_of(status), expected, "{status:#x}");
        }
    }

    #[test]
    fn names_beyond_the_last_entry_are_dropped() {
        let names = ProgramNames::new(["a"; PROGRAMS_MAX + 1].into_iter());
        assert_eq!(names.0, [ProgramName::new("a"); PROGRAMS_MAX]);
        assert_eq!(ProgramNames::new(["a"].into_iter()).0[1], ProgramName::NONE);
    }

    #[test]
    fn running_is_what_started_and_has_not_ended() {
        let counts = ProgramCounters { started: 7, ended_ns: 0, exits: [1, 2, 1, 1] };
        assert_eq!(counts.running(), 2);
        assert_eq!(ProgramCounters { started: 0, ..counts }.running(), 0);
    }

    proptest::proptest! {
        #[test]
        fn a_name_matches_exactly_the_tasks_of_that_name(name in "[a-c]{1,15}", other in "[a-c]{0,15}", before: u8) {
            let (name, other): (String, String) = (name, other);
            proptest::prop_assert_eq!(ProgramName::new(&name).matches(comm(&other, before)), name == other);
        }
    }
}
