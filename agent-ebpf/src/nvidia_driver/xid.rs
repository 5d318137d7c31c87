//! GPU errors that the driver reports, each with a number: the Xid.

/// Key of a count of errors.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XidKey {
    /// PCI address of the GPU as the kernel writes it, for example `0000:01:00.0`, NUL-terminated.
    pub address: [u8; ADDRESS_BYTES],
    /// The Xid.
    pub number: u32,
    /// Always 0.
    pub unused: u32,
}

/// Maximum length of a PCI address, with a domain of up to eight digits.
pub const ADDRESS_BYTES: usize = 24;

/// Number of reports of an error.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XidCount {
    /// Number of reports.
    pub count: u64,
    /// Time of the last report, in ns of CLOCK_MONOTONIC.
    pub last_ns: u64,
}

/// Offsets of fields in the record of the driver's tracepoint, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XidRecord {
    /// Offset of the word with the location of the GPU's address: the lower half of that word is the address's offset.
    pub address: u32,
    /// Offset of the Xid.
    pub number: u32,
}

/// Maximum length of a record.
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
