//! How the kernel programs map a task's cgroup to a container.
//!
//! Each container holds a *slot*: a small number that indexes all per-container maps. Two tables map a cgroup ID to a
//! slot. Each table has one writer, so no lock is needed:
//! - *born*: cgroups created while the agent runs. Only the kernel writes it, in `cgroup_mkdir` and `cgroup_rmdir`,
//!   which the kernel serializes with its `cgroup_mutex`. A container is therefore counted from its first instruction
//!   on.
//! - *found*: cgroups that the agent found when it walked the cgroup tree. Only user space writes it.
//!
//! A cgroup nested in a container is entered with the container's slot, so the hot path never walks to an ancestor.
//! One container can occupy only a limited number of slots and entries: slots for containers inside it
//! ([`Charge::slots`]) and entries for cgroups nested in it ([`Charge::nested`]) are charged to the outermost
//! container. Free slots wait in a queue map, which both sides can use safely. Only user space returns a slot to the
//! queue, after the last reading.

/// The slot shared by all cgroups that have no slot of their own.
pub const SHARED_SLOT: u32 = 0;
/// Set in an entry if the cgroup is the container's own cgroup, not one nested in it.
pub const OWNER: u32 = 1 << 31;
/// Number of entries in a bucket.
pub const BUCKET_ENTRIES: usize = 4;
/// Maximum length of a cgroup path in an event, in bytes, including the NUL.
pub const PATH_BYTES: usize = 1024;
/// Size of the ring buffer of cgroup events, in bytes; a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 256 * 1024;

/// A bucket of a cgroup table: four cgroups with the same low bits in their IDs. One cache line. An entry with ID 0 is
/// empty.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupBucket {
    /// Cgroup IDs.
    pub ids: [u64; BUCKET_ENTRIES],
    /// Slots of the cgroups, with [`OWNER`].
    pub slots: [u32; BUCKET_ENTRIES],
    /// For each cgroup, the slot of the outermost container around it; its own slot if there is none.
    pub outermost: [u32; BUCKET_ENTRIES],
}

impl CgroupBucket {
    /// No entries.
    pub const EMPTY: Self =
        Self { ids: [0; BUCKET_ENTRIES], slots: [0; BUCKET_ENTRIES], outermost: [0; BUCKET_ENTRIES] };
}

/// What an outermost container occupies in the born table, including the containers and cgroups inside it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Slots of the containers inside it.
    pub slots: u32,
    /// Entries of cgroups nested in it or in the containers inside it.
    pub nested: u32,
}

/// Kinds of events of a container's cgroup.
pub mod event {
    /// The cgroup was created. The event contains its slot, or [`SHARED_SLOT`](super::SHARED_SLOT) if it got none.
    pub const CREATED: u32 = 1;
    /// The last process left the cgroup.
    pub const EMPTIED: u32 = 2;
    /// The cgroup was removed.
    pub const REMOVED: u32 = 3;
}

/// A rare event that user space handles immediately.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CgroupEvent {
    /// One of [`event`].
    pub kind: u32,
    /// The container's slot, or [`SHARED_SLOT`].
    pub slot: u32,
    /// The cgroup ID.
    pub id: u64,
    /// The path of the cgroup within its hierarchy, NUL-terminated. Only for [`event::CREATED`].
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
