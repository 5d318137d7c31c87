//! `NV_STATUS` codes that the doubles give (nvstatuscodes.h).

/// It worked.
pub const OK: u32 = 0x00;
/// The handle of a new object is taken.
pub const INSERT_DUPLICATE_NAME: u32 = 0x19;
/// A resource other than memory is used up.
pub const INSUFFICIENT_RESOURCES: u32 = 0x1A;
/// A pointer or a range is none of the caller's.
pub const INVALID_ADDRESS: u32 = 0x1E;
/// An argument makes no sense.
pub const INVALID_ARGUMENT: u32 = 0x1F;
/// No such class.
pub const INVALID_CLASS: u32 = 0x22;
/// No such client.
pub const INVALID_CLIENT: u32 = 0x23;
/// No such object.
pub const INVALID_OBJECT_HANDLE: u32 = 0x33;
/// The GPU has not as much memory left.
pub const NO_MEMORY: u32 = 0x51;
/// Known, but not on this GPU.
pub const NOT_SUPPORTED: u32 = 0x56;
/// Statuses from here on are warnings: the call succeeded.
pub const WARNINGS: u32 = 0x1_0000;
/// It was done already. What `UVM_MM_INITIALIZE` answers to every process that initializes CUDA.
pub const NOTHING_TO_DO: u32 = 0x1_0006;
