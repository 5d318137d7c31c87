//! Types and constants of the NVIDIA driver programs, which count all ioctls of containers on the driver's devices.
//!
//! If an ioctl fails, the driver returns 0 and writes the status to the caller's structure, so the programs read that
//! structure after the call. The request word contains the size of the structure, from which the offset of the status
//! follows. For a few requests and all of UVM the offset follows from the driver's release instead: user space fills
//! the table of [`Layout`]s.

pub mod commands;
pub mod xid;

use crate::counters::{PerSlot, SlotKey, counters};

/// Kinds of device. The programs determine them from the hooked function or from the inode of the open file.
pub mod device {
    /// /dev/nvidiactl.
    pub const CTL: u32 = 1;
    /// /dev/nvidia0, /dev/nvidia1 etc.
    pub const GPU: u32 = 2;
    /// /dev/nvidia-uvm.
    pub const UVM: u32 = 3;
    /// /dev/nvidia-modeset, /dev/nvidia-uvm-tools and any other device that the driver registers.
    pub const OTHER: u32 = 4;

    /// Minor number of /dev/nvidiactl (nv-chardev-numbers.h). The minor numbers of /dev/nvidia0 etc. are below
    /// [`GPU_MINORS`].
    pub const CTL_MINOR: u32 = 255;
    /// Number of minor numbers for GPUs.
    pub const GPU_MINORS: u32 = 248;

    /// The kind of a device of nvidia.ko, by its minor number.
    #[must_use]
    pub const fn of_minor(minor: u32) -> u32 {
        match minor {
            CTL_MINOR => CTL,
            0..GPU_MINORS => GPU,
            _ => OTHER,
        }
    }
}

/// Key of a character device: its device number, which the kernel stores as `major << 20 | minor`.
#[must_use]
pub const fn device_key(major: u32, minor: u32) -> u64 {
    CHARACTER_DEVICE | ((major as u64) << 20) | minor as u64
}

/// Key of a file that represents a device: its filesystem, in the kernel's encoding, and its inode number.
#[must_use]
pub const fn file_key(filesystem: u32, inode: u64) -> u64 {
    ((filesystem as u64) << 32) | (inode & 0xFFFF_FFFF)
}

/// Marks the key of a character device.
pub const CHARACTER_DEVICE: u64 = 1 << 63;

/// Entries in the map of devices.
pub const DEVICES: u32 = 1024;
/// Entries in the table of [`Layout`]s: one per 'F' request number, then one per UVM command.
pub const LAYOUTS: u32 = 512;
/// Index of the UVM command 0 in the table of layouts.
pub const UVM_LAYOUTS: u32 = 256;
/// Concurrent ioctls, direct-mapped by thread: 1 MiB. A power of two.
pub const CALLS_IN_FLIGHT: u32 = 16_384;
/// Combinations of container, device and command: 4.3 MiB.
pub const CALL_ENTRIES: u32 = 4_096;
/// Combinations of container, device, command and status of a failed call.
pub const FAILURE_ENTRIES: u32 = 8_192;
/// Allocations that are stored with their size until they are freed.
pub const ALLOCATION_ENTRIES: u32 = 16_384;
/// Processes that use the driver.
pub const PROCESS_ENTRIES: u32 = 4_096;
/// Concurrent waits in poll(2), direct-mapped by thread: 160 KiB. A power of two.
pub const POLLS_IN_FLIGHT: u32 = 4_096;
/// Combinations of GPU and Xid.
pub const XID_ENTRIES: u32 = 512;

/// An ioctl in progress, stored from its start to its end. One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct CallInFlight {
    /// Thread-group ID and thread ID, as the kernel combines them; 0 if the entry is free.
    pub thread: u64,
    /// Start of the call, in ns of CLOCK_MONOTONIC.
    pub begun_ns: u64,
    /// Address of the caller's structure.
    pub argument: u64,
    /// The request word.
    pub request: u32,
    /// One of [`device`].
    pub device: u32,
    /// The container's slot.
    pub slot: u32,
    /// Padding to the size of a cache line, with `rest`.
    pub unused: u32,
    /// Always 0.
    pub rest: [u64; 3],
}

/// A wait in poll(2) on one of the driver's devices, stored from its start to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PollInFlight {
    /// Thread-group ID and thread ID, as the kernel combines them.
    pub thread: u64,
    /// Start of the wait, in ns of CLOCK_MONOTONIC.
    pub begun_ns: u64,
    /// Voluntary context switches of the thread before the wait.
    pub sleeps: u64,
    /// The container's slot.
    pub slot: u32,
    /// One of [`device`].
    pub device: u32,
    /// Number of wait queues that the thread was registered with before that of the device.
    pub registered: u32,
    /// Always 0.
    pub unused: u32,
}

/// Maximum length of a module's name in bytes, including the NUL: `MODULE_NAME_LEN` of module.h on 64-bit kernels.
pub const MODULE_NAME_BYTES: usize = 56;
/// Size of the ring buffer of [`ModuleEvent`]s in bytes: one page, for some 50 events.
pub const MODULES_BYTES: u32 = 4096;

/// A module of the driver was loaded (its init function runs next), or it is unloaded.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ModuleEvent {
    /// Time of the event, in ns of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// 1 if the module was loaded, 0 if it is unloaded.
    pub loaded: u64,
    /// Name of the module, NUL-terminated.
    pub name: [u8; MODULE_NAME_BYTES],
}

/// Location of the status in the structures of one request.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Known sizes of the structure, in bytes; 0 for none, [`Layout::ANY`] for any size.
    pub sizes: [u32; 2],
    /// Byte offset of the status for each size; [`Layout::NO_STATUS`] if the structure has no status.
    pub statuses: [u32; 2],
}

impl Layout {
    /// An unknown request.
    pub const UNKNOWN: Self = Self { sizes: [0; 2], statuses: [0; 2] };
    /// Matches any size.
    pub const ANY: u32 = u32::MAX;
    /// The structure has no status.
    pub const NO_STATUS: u32 = u32::MAX;
}

/// Key of a histogram of durations: of calls, or of waits for the command [`commands::POLL`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The container's slot.
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
    /// The container's slot.
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
/// Replaces any status that no driver defines, because the status is read from memory that the caller can write.
pub const UNDEFINED_STATUS: u32 = 0x7FFF_FFFF;
/// Statuses that are warnings: the call succeeded. Drivers up to 595 define 0x10001 to 0x10009.
pub const WARNINGS: core::ops::Range<u32> = 0x1_0000..0x1_0020;
/// Status of an allocation that failed because memory ran out.
pub const NO_MEMORY: u32 = 0x51;
/// Status of an allocation that failed because another resource ran out.
pub const INSUFFICIENT_RESOURCES: u32 = 0x1A;

counters! {
    /// Results of one container's ioctls since its slot was cleared.
    pub struct DriverCounters {
        /// Successful allocations of GPU memory.
        pub allocations: u64,
        /// Bytes of successful allocations of GPU memory, as rounded by the driver.
        pub allocated_bytes: u64,
        /// Allocated bytes that a call has freed. The exit of a process frees memory without a call.
        pub freed_bytes: u64,
        /// Allocations of GPU memory that failed with [`NO_MEMORY`].
        pub failed_no_memory: u64,
        /// Allocations of GPU memory that failed with [`INSUFFICIENT_RESOURCES`].
        pub failed_insufficient_resources: u64,
        /// Failed allocations after which the same process successfully allocated at least as much.
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
        /// Calls with a structure of unknown layout.
        pub undecoded: u64,
        /// Calls with a structure that could not be read.
        pub unreadable: u64,
    }
}

impl DriverCounters {
    /// Allocations of GPU memory that the driver has refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.failed_no_memory.saturating_add(self.failed_insufficient_resources)
    }
}

/// One container's use of the driver since its slot was cleared. All times are in ns of CLOCK_MONOTONIC.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverSlot {
    /// Results of the container's ioctls.
    pub counters: DriverCounters,
    /// Calls that began.
    pub begun: u64,
    /// Calls that ended or were lost.
    pub ended: u64,
    /// When a call last began.
    pub last_begun_ns: u64,
    /// When a call last ended.
    pub last_ended_ns: u64,
    /// When an allocation of GPU memory last failed with [`NO_MEMORY`] or [`INSUFFICIENT_RESOURCES`]; 0 if none has.
    pub refused_ns: u64,
    /// When an allocation of GPU memory last succeeded; 0 if none has.
    pub granted_ns: u64,
    /// Process of the cold start that the following fields describe: the latest process that created a context.
    pub cold_process: u64,
    /// When that process started.
    pub cold_started_ns: u64,
    /// When that process first called the driver.
    pub cold_opened_ns: u64,
    /// When its context was ready: the last channel of the first burst.
    pub cold_context_ns: u64,
    /// When its last large allocation completed.
    pub cold_allocated_ns: u64,
    /// 1 after the process has unregistered a channel, because its context is then complete.
    pub cold_settled: u64,
    /// Its name (`comm`) when it created the context: 16 NUL-terminated bytes that the process can set.
    pub cold_name: [u64; 2],
}

impl PerSlot for DriverSlot {
    const EMPTY: Self = Self {
        counters: DriverCounters::EMPTY,
        begun: 0,
        ended: 0,
        last_begun_ns: 0,
        last_ended_ns: 0,
        refused_ns: 0,
        granted_ns: 0,
        cold_process: 0,
        cold_started_ns: 0,
        cold_opened_ns: 0,
        cold_context_ns: 0,
        cold_allocated_ns: 0,
        cold_settled: 0,
        cold_name: [0; 2],
    };
}

/// Key of an allocation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationKey {
    /// Process ID of the owner.
    pub process: u32,
    /// Handle of the driver's client.
    pub client: u32,
    /// Handle of the memory object.
    pub object: u32,
    /// Always 0.
    pub unused: u32,
}

/// A process that uses the driver.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DriverProcess {
    /// When the process started, in ns of CLOCK_MONOTONIC.
    pub started_ns: u64,
    /// When it first called the driver, in ns of CLOCK_MONOTONIC.
    pub opened_ns: u64,
    /// Failed allocations of GPU memory since the last successful allocation of at least `failed_bytes`.
    pub failures: u64,
    /// Size of the largest of these failed allocations, in bytes.
    pub failed_bytes: u64,
}

/// Minimum size of a large allocation. The weights of a model are in large allocations.
pub const LARGE_ALLOCATION_BYTES: u64 = 16 << 20;
/// Maximum time between two channels that belong to the creation of the same context.
pub const CONTEXT_GAP_NS: u64 = 1_000_000_000;
/// Maximum time between two large allocations that belong to the same cold start.
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
