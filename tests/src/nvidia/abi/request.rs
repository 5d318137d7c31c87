//! One request as it goes to a device: its word, its struct, and where the answer is.

use super::{
    Device, Release,
    bytes::{put, put_u32, put_u64, u32_at, u64_at},
    frontend, uvm,
};

/// What a request is about beyond its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About {
    /// The command of an RM_CONTROL.
    pub control: Option<u32>,
    /// The class of an RM_ALLOC or RM_ALLOC_MEMORY.
    pub class: Option<u32>,
    /// The function of a VID_HEAP_CONTROL.
    pub function: Option<u32>,
    /// Whether it goes inside an XFER request.
    pub wrapped: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it is meant to go.
    pub device: Device,
    /// Its number: that of the escape, or the UVM command.
    pub number: u32,
    /// What is given to `ioctl`.
    pub word: u32,
    /// The struct.
    pub bytes: Vec<u8>,
    /// Offset of the status; some requests have none and answer by what `ioctl` returns.
    pub status_at: Option<usize>,
    /// What it is about.
    pub about: About,
}

impl Request {
    /// An escape by its number, all zero.
    ///
    /// # Panics
    /// Where the release has no such escape.
    #[must_use]
    pub fn escape(release: Release, device: Device, number: u32) -> Self {
        let layout = frontend::layout(release, number)
            .unwrap_or_else(|| panic!("{release} has no escape {number:#x}"));
        Self::with(device, number, frontend::word(number, layout.size_bytes), layout)
    }

    /// A UVM command by its number, all zero.
    ///
    /// # Panics
    /// Where the release has no such command.
    #[must_use]
    pub fn uvm(release: Release, command: u32) -> Self {
        let layout =
            uvm::layout(release, command).unwrap_or_else(|| panic!("{release} has no UVM command {command}"));
        Self::with(Device::Uvm, command, command, layout)
    }

    pub(super) fn with(device: Device, number: u32, word: u32, layout: Layout) -> Self {
        let bytes = vec![0; layout.size_bytes];
        Self { device, number, word, bytes, status_at: layout.status_at, about: About::default() }
    }

    /// With a `u32` field.
    #[must_use]
    pub fn u32(mut self, at: usize, value: u32) -> Self {
        put_u32(&mut self.bytes, at, value);
        self
    }

    /// With a `u64` field.
    #[must_use]
    pub fn u64(mut self, at: usize, value: u64) -> Self {
        put_u64(&mut self.bytes, at, value);
        self
    }

    /// With a field of bytes.
    #[must_use]
    pub fn field(mut self, at: usize, value: &[u8]) -> Self {
        put(&mut self.bytes, at, value);
        self
    }

    /// The status as it stands.
    #[must_use]
    pub fn status(&self) -> Option<u32> {
        self.status_at.map(|at| u32_at(&self.bytes, at))
    }

    /// A `u32` as it stands.
    #[must_use]
    pub fn get_u32(&self, at: usize) -> u32 {
        u32_at(&self.bytes, at)
    }

    /// A `u64` as it stands.
    #[must_use]
    pub fn get_u64(&self, at: usize) -> u64 {
        u64_at(&self.bytes, at)
    }
}

/// How long a struct is and where its status lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its size.
    pub size_bytes: usize,
    /// The offset of its status, if it has one.
    pub status_at: Option<usize>,
}
