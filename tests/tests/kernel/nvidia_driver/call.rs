//! ioctls on the driver's devices as CUDA makes them: request words, structures, and the structures after the calls.
//!
//! Offsets are those of the open kernel modules 535 to 595 (nvos.h, nv-ioctl.h, uvm_ioctl.h).

/// One of the driver's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    Ctl,
    Gpu,
    Uvm,
}

/// An ioctl and its structure.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) device: Device,
    pub(super) request: u32,
    pub(super) bytes: Vec<u8>,
    /// A second structure, and the offset of its address in the first one.
    pub(super) nested: Option<(usize, Vec<u8>)>,
}

impl Call {
    pub(super) fn new(device: Device, request: u32, size: usize) -> Self {
        Self { device, request, bytes: vec![0; size], nested: None }
    }

    pub(super) fn with(mut self, at: usize, value: u32) -> Self {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn with_long(mut self, at: usize, value: u64) -> Self {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }
}

/// A request of the resource manager. Its word contains the size of its structure.
pub(super) fn request(device: Device, number: u32, size: usize) -> Call {
    Call::new(device, 0xC000_4600 | (size as u32) << 16 | number, size)
}

/// `NV_ESC_RM_ALLOC` with NVOS64.
pub(super) fn alloc(client: u32, object: u32, class: u32) -> Call {
    request(Device::Ctl, 0x2B, 48).with(0, client).with(8, object).with(12, class)
}

/// `NV_ESC_RM_ALLOC` of GPU memory.
pub(super) fn alloc_memory(client: u32, object: u32, bytes: u64) -> Call {
    let mut parameters = vec![0; 128];
    parameters[64..72].copy_from_slice(&bytes.to_le_bytes());
    Call { nested: Some((16, parameters)), ..alloc(client, object, 0x40) }
}

/// The same with NVOS21.
pub(super) fn alloc_memory_short(client: u32, object: u32, bytes: u64) -> Call {
    let long = alloc_memory(client, object, bytes);
    Call { bytes: long.bytes[..32].to_vec(), nested: long.nested, ..request(Device::Ctl, 0x2B, 32) }
}

/// `NV_ESC_RM_VID_HEAP_CONTROL`, function ALLOC_SIZE, into GPU memory.
pub(super) fn heap_alloc(client: u32, object: u32, bytes: u64) -> Call {
    request(Device::Ctl, 0x4A, 184).with(0, client).with(8, 2).with(44, object).with_long(88, bytes)
}

/// `NV_ESC_RM_FREE`.
pub(super) fn free(client: u32, object: u32) -> Call {
    request(Device::Ctl, 0x29, 16).with(0, client).with(8, object)
}

/// `NV_ESC_RM_CONTROL`.
pub(super) fn control(command: u32) -> Call {
    request(Device::Ctl, 0x2A, 32).with(8, command)
}

/// `NV_ESC_RM_ALLOC_MEMORY` of the caller's own pages.
pub(super) fn pin(bytes: u64) -> Call {
    request(Device::Gpu, 0x27, 56).with(12, 0x71).with_long(32, bytes - 1)
}

/// `NV_ESC_IOCTL_XFER_CMD` around another request.
pub(super) fn wrapped(inner: Call) -> Call {
    let (number, size) = (inner.request & 0xFF, inner.bytes.len() as u32);
    Call { nested: Some((8, inner.bytes)), ..request(inner.device, 0xD3, 16).with(0, number).with(4, size) }
}

/// A UVM command for the page at `base`, with a size that every release accepts.
pub(super) fn uvm(command: u32, base: u64) -> Call {
    Call::new(Device::Uvm, command, 9264).with_long(0, base)
}
