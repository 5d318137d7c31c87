//! How the kernel side knows whose cgroup a task is in.
//!
//! Each container holds a *slot*: a small number that indexes every per-container map. Two tables lead from a
//! cgroup's id to its slot, each with one writer, so that no lock is needed:
//! - *born*: cgroups made while the agent runs. Only the kernel writes it, from `cgroup_mkdir` and `cgroup_rmdir`, which
//!   the kernel serialises with its `cgroup_mutex`. A container is therefore counted from its first instruction on.
//! - *found*: cgroups that the agent met on its walk through the tree. Only user space writes it.
//!
//! Cgroups nested in a container are entered with the container's slot, so the hot path never walks to an ancestor.
//! What one container can occupy is bounded: slots for containers within it ([`Charge::slots`]) and entries for cgroups
//! nested in it ([`Charge::nested`]) are charged to the outermost container.
//! Free slots wait in a queue map, which is safe to use from both sides. A slot returns to the queue only from user
//! space, after the last reading.

/// The slot that every cgroup without one of its own shares.
pub const SHARED_SLOT: u32 = 0;
/// Set in an entry whose cgroup is the container's own, not one nested in it.
pub const OWNER: u32 = 1 << 31;
/// Entries in a bucket.
pub const BUCKET_ENTRIES: usize = 4;
/// Most bytes of a cgroup's path that an event carries, NUL included.
pub const PATH_BYTES: usize = 1024;
/// Bytes of the ring buffer of cgroup events; a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 256 * 1024;

/// Four cgroups whose ids agree in their low bits; one cache line. An id of 0 is an empty entry.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupBucket {
    /// The cgroups' ids.
    pub ids: [u64; BUCKET_ENTRIES],
    /// Their slots, with [`OWNER`].
    pub slots: [u32; BUCKET_ENTRIES],
    /// The slots of the outermost containers around them: their own slots if there is none.
    pub outermost: [u32; BUCKET_ENTRIES],
}

impl CgroupBucket {
    /// No entries.
    pub const EMPTY: Self =
        Self { ids: [0; BUCKET_ENTRIES], slots: [0; BUCKET_ENTRIES], outermost: [0; BUCKET_ENTRIES] };
}

/// What a container occupies in the born table, with all that is nested in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Slots of containers within it.
    pub slots: u32,
    /// Entries of cgroups that are nested in it or in those.
    pub nested: u32,
}

/// What happened to a container's cgroup.
pub mod event {
    /// It was made; the event carries its slot, or [`SHARED_SLOT`](super::SHARED_SLOT) where it got none.
    pub const BORN: u32 = 1;
    /// Its last process left.
    pub const EMPTIED: u32 = 2;
    /// It was removed.
    pub const REMOVED: u32 = 3;
}

/// A rare event that user space handles at once.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CgroupEvent {
    /// One of [`event`].
    pub kind: u32,
    /// The container's slot, or [`SHARED_SLOT`].
    pub slot: u32,
    /// The cgroup's id.
    pub id: u64,
    /// The cgroup's path within its hierarchy, NUL-terminated. Only for [`event::BORN`].
    pub path: [u8; PATH_BYTES],
}

// SAFETY: `repr(C)`, four u64 + eight u32 fill the 64-byte line; any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for CgroupBucket {}
// SAFETY: `repr(C)`, two u32, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Charge {}
// SAFETY: `repr(C)`, no padding (u32, u32, u64, bytes), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for CgroupEvent {}
