//! The first bytes of uploads, which the kernel programs send through a ring buffer if user space reads the dimensions of
//! images.

/// Maximum number of bytes: the head of a form and the metadata of most images.
pub const UPLOAD_BYTES: usize = 2048;

/// Size of the ring buffer, in bytes: some 250 bodies. A power of two and a multiple of the page size.
pub const UPLOADS_BYTES: u32 = 512 * 1024;
/// The same if user space does not read them.
pub const UPLOADS_OFF_BYTES: u32 = 4096;

/// Uploads of one container per second of uptime, so that one container cannot fill the ring buffer.
pub const UPLOADS_PER_S: u64 = 16;

/// The first bytes of the body of a request, as far as the first segment with bytes of the body contains them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStart {
    /// The container's slot.
    pub slot: u32,
    /// Number of valid bytes in `bytes`.
    pub length: u32,
    /// The bytes, as the client sent them.
    pub bytes: [u8; UPLOAD_BYTES],
}

impl UploadStart {
    /// The valid bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length as usize).unwrap_or(&self.bytes)
    }
}

const _: () = assert!(size_of::<UploadStart>() == 8 + UPLOAD_BYTES);

// SAFETY: `repr(C)`, two u32 and bytes in a multiple of 8: no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for UploadStart {}
