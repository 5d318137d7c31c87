//! The `NV_STATUS` codes that the stand-ins return (nvstatuscodes.h).

/// Success.
pub const OK: u32 = 0x00;
/// The handle for a new object is in use.
pub const INSERT_DUPLICATE_NAME: u32 = 0x19;
/// A resource other than memory is exhausted.
pub const INSUFFICIENT_RESOURCES: u32 = 0x1A;
/// A pointer or range is invalid.
pub const INVALID_ADDRESS: u32 = 0x1E;
/// An argument is invalid.
pub const INVALID_ARGUMENT: u32 = 0x1F;
/// No such class.
pub const INVALID_CLASS: u32 = 0x22;
/// No such client.
pub const INVALID_CLIENT: u32 = 0x23;
/// No such object.
pub const INVALID_OBJECT_HANDLE: u32 = 0x33;
/// The GPU has not enough memory left.
pub const NO_MEMORY: u32 = 0x51;
/// The request exists, but not on this GPU.
pub const NOT_SUPPORTED: u32 = 0x56;
/// Statuses from here on are warnings: the call succeeded.
pub const WARNINGS: u32 = 0x1_0000;
/// It was already done. Every process that initializes CUDA gets this status from `UVM_MM_INITIALIZE`.
pub const NOTHING_TO_DO: u32 = 0x1_0006;
