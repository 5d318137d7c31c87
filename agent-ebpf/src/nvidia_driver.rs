//! What the NVIDIA driver programs count: every ioctl that a container makes on the driver's devices.
//!
//! The driver returns 0 from an ioctl that failed and leaves the reason in the caller's structure, so the programs
//! read that structure when the call is over. Where its fields lie follows from the request word, which carries the
//! structure's size, and for a few requests and all of UVM from the driver's release: user space fills the table of
//! [`Layout`]s.

pub mod commands;
pub mod xid;

use crate::counters::{PerSlot, SlotKey, counters};

/// Kinds of device, as the programs tell them apart by the inode behind a descriptor.
pub mod device {
    /// /dev/nvidiactl.
    pub const CTL: u32 = 1;
    /// /dev/nvidia0 and so on.
    pub const GPU: u32 = 2;
    /// /dev/nvidia-uvm.
    pub const UVM: u32 = 3;
    /// /dev/nvidia-modeset, nvidia-uvm-tools and whatever else the driver registers.
    pub const OTHER: u32 = 4;

    /// Minor of /dev/nvidiactl (nv-chardev-numbers.h); those of /dev/nvidia0 and so on are below [`GPU_MINORS`].
    pub const CTL_MINOR: u32 = 255;
    /// Number of minors for GPUs.
    pub const GPU_MINORS: u32 = 248;

    /// The kind of one of nvidia.ko's own devices, by its minor.
    #[must_use]
    pub const fn of_minor(minor: u32) -> u32 {
        match minor {
            CTL_MINOR => CTL,
            0..GPU_MINORS => GPU,
            _ => OTHER,
        }
    }
}

/// Key of a device: a character device by its number, which the kernel keeps as `major << 20 | minor`.
#[must_use]
pub const fn device_key(major: u32, minor: u32) -> u64 {
    CHARACTER_DEVICE | ((major as u64) << 20) | minor as u64
}

/// Key of a file that stands for a device: its file system, in the kernel's encoding, and its inode.
#[must_use]
pub const fn file_key(filesystem: u32, inode: u64) -> u64 {
    ((filesystem as u64) << 32) | (inode & 0xFFFF_FFFF)
}

/// Marks the key of a character device.
pub const CHARACTER_DEVICE: u64 = 1 << 63;

/// Entries of the map of devices.
pub const DEVICES: u32 = 1024;
/// Entries of [`Layout`]: one per 'F' request number, then one per UVM command.
pub const LAYOUTS: u32 = 512;
/// Index of UVM command 0 in the table of layouts.
pub const UVM_LAYOUTS: u32 = 256;
/// Concurrent ioctls, direct-mapped by thread: 1 MiB. A power of two.
pub const CALLS_IN_FLIGHT: u32 = 16_384;
/// Combinations of container, device and command: 4.3 MiB.
pub const CALL_ENTRIES: u32 = 4_096;
/// Combinations of these with a failure.
pub const FAILURE_ENTRIES: u32 = 8_192;
/// Allocations whose size is remembered until they are freed.
pub const ALLOCATION_ENTRIES: u32 = 16_384;
/// Processes that use the driver.
pub const PROCESS_ENTRIES: u32 = 4_096;
/// Concurrent waits in poll(2), direct-mapped by thread: 160 KiB. A power of two.
pub const POLLS_IN_FLIGHT: u32 = 4_096;
/// Combinations of GPU and Xid.
pub const XID_ENTRIES: u32 = 512;

/// An ioctl on its way, kept from its start to its end. One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct CallInFlight {
    /// Thread-group and thread id as the kernel gives them; 0 is nobody.
    pub thread: u64,
    /// When it began, in ns of CLOCK_MONOTONIC.
    pub begun_ns: u64,
    /// Address of the caller's structure.
    pub argument: u64,
    /// The request word.
    pub request: u32,
    /// One of [`device`].
    pub device: u32,
    /// The container.
    pub slot: u32,
    /// Fills the line, with what follows.
    pub unused: u32,
    /// Always 0.
    pub rest: [u64; 3],
}

/// A wait in poll(2) on one of the driver's devices, kept from its start to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PollInFlight {
    /// Thread-group and thread id as the kernel gives them.
    pub thread: u64,
    /// When it began, in ns of CLOCK_MONOTONIC.
    pub begun_ns: u64,
    /// How often the thread had given up its CPU by itself before.
    pub sleeps: u64,
    /// The container.
    pub slot: u32,
    /// One of [`device`].
    pub device: u32,
    /// How many wait queues the thread was registered with before that of the device.
    pub registered: u32,
    /// Always 0.
    pub unused: u32,
}

/// Bytes of a module's name with the NUL that ends it: `MODULE_NAME_LEN` of module.h on 64-bit kernels.
pub const MODULE_NAME_BYTES: usize = 56;
/// Bytes of the ring buffer of [`ModuleEvent`]: one page, for some 50 events.
pub const MODULES_BYTES: u32 = 4096;

/// A module of the driver was loaded, and its init function runs next, or it is unloaded.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ModuleEvent {
    /// When, in ns of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// 1 if it was loaded, 0 if it is unloaded.
    pub loaded: u64,
    /// Its name, NUL-terminated.
    pub name: [u8; MODULE_NAME_BYTES],
}

/// Where the status lies in the structures of one request.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Sizes of the structure that are known, in bytes; 0 is none, [`Layout::ANY`] every.
    pub sizes: [u32; 2],
    /// Byte offset of the status in each; [`Layout::NO_STATUS`] where there is none.
    pub statuses: [u32; 2],
}

impl Layout {
    /// A request that is not known.
    pub const UNKNOWN: Self = Self { sizes: [0; 2], statuses: [0; 2] };
    /// Stands for every size.
    pub const ANY: u32 = u32::MAX;
    /// Stands for a structure without a status.
    pub const NO_STATUS: u32 = u32::MAX;
}

/// Key of a distribution of durations: of calls, or of waits under [`commands::POLL`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The container.
    pub slot: u32,
    /// One of [`device`].
    pub device: u16,
    /// See [`commands`].
    pub command: u16,
}

impl SlotKey for CallKey {
    fn slot(&self) -> u32 {
        self.slot
    }
}

/// Key of a count of failures.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureKey {
    /// The container.
    pub slot: u32,
    /// One of [`device`].
    pub device: u16,
    /// See [`commands`].
    pub command: u16,
    /// The driver's status, or [`TRANSPORT`] with the error number that ioctl(2) returned.
    pub status: u32,
    /// Always 0.
    pub unused: u32,
}

impl SlotKey for FailureKey {
    fn slot(&self) -> u32 {
        self.slot
    }
}

/// Set in a status that is an error number of ioctl(2).
pub const TRANSPORT: u32 = 1 << 31;
/// Stands for any status that no driver defines: the structure is the caller's memory, who may write what it likes.
pub const UNDEFINED_STATUS: u32 = 0x7FFF_FFFF;
/// Statuses that are warnings: the call succeeded. Drivers up to 595 define 0x10001 to 0x10009.
pub const WARNINGS: core::ops::Range<u32> = 0x1_0000..0x1_0020;
/// The status of an allocation for which there is no memory.
pub const NO_MEMORY: u32 = 0x51;
/// The status of an allocation that lacks something else.
pub const INSUFFICIENT_RESOURCES: u32 = 0x1A;

counters! {
    /// What the ioctls of one container achieved since its slot was cleared.
    pub struct DriverCounters {
        /// Allocations of GPU memory that succeeded.
        pub allocations: u64,
        /// Their bytes, as the driver rounded them.
        pub allocated_bytes: u64,
        /// Bytes of these that were freed by a call; the end of a process frees without one.
        pub freed_bytes: u64,
        /// Allocations of GPU memory that failed with [`NO_MEMORY`].
        pub failed_no_memory: u64,
        /// Those that failed with [`INSUFFICIENT_RESOURCES`].
        pub failed_insufficient_resources: u64,
        /// Failures after which the same process got at least as much.
        pub recovered: u64,
        /// Allocations of host memory for the GPU that failed with [`NO_MEMORY`].
        pub failed_host_memory: u64,
        /// Bytes of host memory pinned for the GPU.
        pub pinned_bytes: u64,
        /// Contexts: address spaces registered with UVM.
        pub contexts: u64,
        /// Channels registered with UVM.
        pub channels: u64,
        /// Events allocated.
        pub events: u64,
        /// Calls whose structure this agent knows no layout for.
        pub undecoded: u64,
        /// Calls whose structure could not be read.
        pub unreadable: u64,
    }
}

/// One container's use of the driver since its slot was cleared.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverSlot {
    /// What its ioctls achieved.
    pub counters: DriverCounters,
    /// Calls that began.
    pub begun: u64,
    /// Calls that ended, or were lost sight of.
    pub ended: u64,
    /// When a call last began, ns of CLOCK_MONOTONIC like all that follow.
    pub last_begun_ns: u64,
    /// When a call last ended.
    pub last_ended_ns: u64,
    /// Process of the cold start below: the latest that made a context.
    pub cold_process: u64,
    /// When that process started.
    pub cold_started_ns: u64,
    /// When it first called the driver.
    pub cold_opened_ns: u64,
    /// When its context was ready: the last channel of the first burst.
    pub cold_context_ns: u64,
    /// When its last large allocation was done.
    pub cold_allocated_ns: u64,
    /// 1 once it gave a channel back: whoever does is no longer making its context.
    pub cold_settled: u64,
    /// Its name, `comm`, when it made the context: 16 bytes that it chose itself, ended by a 0.
    pub cold_name: [u64; 2],
}

impl PerSlot for DriverSlot {
    const EMPTY: Self = Self {
        counters: DriverCounters::EMPTY,
        begun: 0,
        ended: 0,
        last_begun_ns: 0,
        last_ended_ns: 0,
        cold_process: 0,
        cold_started_ns: 0,
        cold_opened_ns: 0,
        cold_context_ns: 0,
        cold_allocated_ns: 0,
        cold_settled: 0,
        cold_name: [0; 2],
    };
}

/// Key of an allocation: who holds what.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationKey {
    /// The process.
    pub process: u32,
    /// The driver's client.
    pub client: u32,
    /// The memory object.
    pub object: u32,
    /// Always 0.
    pub unused: u32,
}

/// A process that uses the driver.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DriverProcess {
    /// When it started, ns of CLOCK_MONOTONIC.
    pub started_ns: u64,
    /// When it first called the driver.
    pub opened_ns: u64,
    /// Failed allocations of GPU memory since the last that succeeded with as much.
    pub failures: u64,
    /// The largest of these, in bytes.
    pub failed_bytes: u64,
}

/// An allocation from here on is a large one: what a model's weights come in.
pub const LARGE_ALLOCATION_BYTES: u64 = 16 << 20;
/// A channel that comes later than this after the one before no longer belongs to the making of the context.
pub const CONTEXT_GAP_NS: u64 = 1_000_000_000;
/// A large allocation that comes later than this after the one before no longer belongs to the start.
pub const LOADING_GAP_NS: u64 = 30_000_000_000;

// SAFETY: `repr(C)`, u64 and u32 without padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for CallInFlight {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for PollInFlight {}
// SAFETY: as above, u32 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Layout {}
// SAFETY: as above, u32 and two u16.
#[cfg(feature = "user")]
unsafe impl aya::Pod for CallKey {}
// SAFETY: as above, u32, two u16, two u32.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FailureKey {}
// SAFETY: as above, u64 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for DriverSlot {}
// SAFETY: as above, u32 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for AllocationKey {}
// SAFETY: as above, u64 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for DriverProcess {}
