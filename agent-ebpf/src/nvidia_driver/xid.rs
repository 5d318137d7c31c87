//! Errors of GPUs that the driver reports under a number, its Xid.

/// Key of a count of errors.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XidKey {
    /// The GPU's PCI address as the kernel writes it, such as `0000:01:00.0`, ended by a 0.
    pub address: [u8; ADDRESS_BYTES],
    /// The Xid.
    pub number: u32,
    /// Always 0.
    pub unused: u32,
}

/// Room for a PCI address. A domain has eight digits at most, so that it fits.
pub const ADDRESS_BYTES: usize = 24;

/// How often an error was reported.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XidCount {
    /// How often.
    pub count: u64,
    /// When last, ns of CLOCK_MONOTONIC.
    pub last_ns: u64,
}

/// Where the fields are in the record of the driver's tracepoint, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XidRecord {
    /// The word that says where the GPU's address is: its offset in the lower half.
    pub address: u32,
    /// The Xid.
    pub number: u32,
}

/// No record is longer.
pub const RECORD_MAX_BYTES: u32 = 4096;

// SAFETY: `repr(C)`, bytes and u32 without padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for XidKey {}
// SAFETY: as above, u64 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for XidCount {}
// SAFETY: as above, u32 only.
#[cfg(feature = "user")]
unsafe impl aya::Pod for XidRecord {}
