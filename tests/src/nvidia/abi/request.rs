//! A request: its word, its struct, and the offset of its status.

use super::{
    Device, Release,
    bytes::{put, put_u32, put_u64, u32_at, u64_at},
    frontend, uvm,
};

/// What distinguishes a request beyond its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About {
    /// The command of an RM_CONTROL.
    pub control: Option<u32>,
    /// The class of an RM_ALLOC or RM_ALLOC_MEMORY.
    pub class: Option<u32>,
    /// The function of a VID_HEAP_CONTROL.
    pub function: Option<u32>,
    /// Whether it is inside an XFER request.
    pub wrapped: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The device it is meant for.
    pub device: Device,
    /// The number of the escape or UVM command.
    pub number: u32,
    /// The second argument of `ioctl`.
    pub word: u32,
    /// The struct.
    pub bytes: Vec<u8>,
    /// Offset of the status. Requests without one answer only with the return value of `ioctl`.
    pub status_at: Option<usize>,
    /// What distinguishes it beyond its number.
    pub about: About,
}

impl Request {
    /// An escape by its number, with a struct of zeros.
    ///
    /// # Panics
    /// If the release has no such escape.
    #[must_use]
    pub fn escape(release: Release, device: Device, number: u32) -> Self {
        let layout = frontend::layout(release, number)
            .unwrap_or_else(|| panic!("{release} has no escape {number:#x}"));
        Self::with(device, number, frontend::word(number, layout.size_bytes), layout)
    }

    /// A UVM command by its number, with a struct of zeros.
    ///
    /// # Panics
    /// If the release has no such command.
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

    /// Sets a `u32` field.
    #[must_use]
    pub fn u32(mut self, at: usize, value: u32) -> Self {
        put_u32(&mut self.bytes, at, value);
        self
    }

    /// Sets a `u64` field.
    #[must_use]
    pub fn u64(mut self, at: usize, value: u64) -> Self {
        put_u64(&mut self.bytes, at, value);
        self
    }

    /// Sets a field of bytes.
    #[must_use]
    pub fn field(mut self, at: usize, value: &[u8]) -> Self {
        put(&mut self.bytes, at, value);
        self
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Option<u32> {
        self.status_at.map(|at| u32_at(&self.bytes, at))
    }

    /// The current value of a `u32` field.
    #[must_use]
    pub fn get_u32(&self, at: usize) -> u32 {
        u32_at(&self.bytes, at)
    }

    /// The current value of a `u64` field.
    #[must_use]
    pub fn get_u64(&self, at: usize) -> u64 {
        u64_at(&self.bytes, at)
    }
}

/// The size of a struct and the offset of its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its size.
    pub size_bytes: usize,
    /// The offset of its status, if it has one.
    pub status_at: Option<usize>,
}
