//! The escapes of `/dev/nvidiactl` and `/dev/nvidiaN`: words of `_IOWR('F', number, struct)`.

use super::{
    Device, Release,
    class::{self, MEMORY_OS_DESCRIPTOR},
    request::{About, Layout, Request},
};

/// The type in all of these words.
pub const MAGIC: u32 = 0x46;

/// `NV_ESC_RM_ALLOC_MEMORY`
pub const ALLOC_MEMORY: u32 = 0x27;
/// `NV_ESC_RM_FREE`
pub const FREE: u32 = 0x29;
/// `NV_ESC_RM_CONTROL`
pub const CONTROL: u32 = 0x2A;
/// `NV_ESC_RM_ALLOC`
pub const ALLOC: u32 = 0x2B;
/// `NV_ESC_RM_VID_HEAP_CONTROL`
pub const VID_HEAP_CONTROL: u32 = 0x4A;
/// `NV_ESC_RM_MAP_MEMORY`
pub const MAP_MEMORY: u32 = 0x4E;
/// `NV_ESC_RM_UNMAP_MEMORY`
pub const UNMAP_MEMORY: u32 = 0x4F;
/// `NV_ESC_RM_MAP_MEMORY_DMA`
pub const MAP_MEMORY_DMA: u32 = 0x57;
/// `NV_ESC_RM_UNMAP_MEMORY_DMA`
pub const UNMAP_MEMORY_DMA: u32 = 0x58;
/// `NV_ESC_RM_UPDATE_DEVICE_MAPPING_INFO`
pub const UPDATE_DEVICE_MAPPING_INFO: u32 = 0x5E;
/// `NV_ESC_CARD_INFO`
pub const CARD_INFO: u32 = 0xC8;
/// `NV_ESC_REGISTER_FD`
pub const REGISTER_FD: u32 = 0xC9;
/// `NV_ESC_ALLOC_OS_EVENT`
pub const ALLOC_OS_EVENT: u32 = 0xCE;
/// `NV_ESC_FREE_OS_EVENT`
pub const FREE_OS_EVENT: u32 = 0xCF;
/// `NV_ESC_CHECK_VERSION_STR`
pub const CHECK_VERSION: u32 = 0xD2;
/// `NV_ESC_IOCTL_XFER_CMD`
pub const XFER: u32 = 0xD3;
/// `NV_ESC_SYS_PARAMS`
pub const SYS_PARAMS: u32 = 0xD6;
/// `NV_ESC_NUMA_INFO`
pub const NUMA_INFO: u32 = 0xD7;

/// Size of one `nv_ioctl_card_info_t`. A request contains an array of them.
pub const CARD_BYTES: usize = 72;
/// Number of cards in the array that clients send.
pub const CARDS: usize = 32;
/// `NVOS21_PARAMETERS`, the short form of RM_ALLOC. Its status is at 28.
pub const ALLOC_SHORT_BYTES: usize = 32;
/// `NV_ABSOLUTE_MAX_IOCTL_SIZE`: the maximum size of a request in an XFER request.
pub const XFER_MAX_BYTES: usize = 16384;

/// The word of an escape.
#[must_use]
pub const fn word(number: u32, size_bytes: usize) -> u32 {
    0xC000_0000 | (size_bytes as u32) << 16 | MAGIC << 8 | number
}

/// The struct of an escape: the long form NVOS64 for RM_ALLOC, and the usual array for CARD_INFO.
#[must_use]
pub fn layout(release: Release, number: u32) -> Option<Layout> {
    let (size_bytes, status_at) = match number {
        ALLOC_MEMORY => (56, Some(40)),
        FREE => (16, Some(12)),
        CONTROL => (32, Some(28)),
        ALLOC => (48, Some(40)),
        VID_HEAP_CONTROL => (184, Some(20)),
        MAP_MEMORY => (56, Some(40)),
        UNMAP_MEMORY => (32, Some(24)),
        MAP_MEMORY_DMA if release >= Release(580, 65, 6) => (64, Some(56)),
        MAP_MEMORY_DMA => (56, Some(48)),
        UNMAP_MEMORY_DMA if release >= Release(550, 40, 7) => (48, Some(40)),
        UNMAP_MEMORY_DMA => (40, Some(32)),
        UPDATE_DEVICE_MAPPING_INFO => (40, Some(32)),
        CARD_INFO => (CARD_BYTES * CARDS, None),
        REGISTER_FD => (4, None),
        ALLOC_OS_EVENT | FREE_OS_EVENT => (16, Some(12)),
        CHECK_VERSION => (72, None),
        XFER => (16, None),
        SYS_PARAMS => (8, None),
        NUMA_INFO => (560, Some(4)),
        _ => return None,
    };
    Some(Layout { size_bytes, status_at })
}

/// An RM_ALLOC in its long form. `params` is the address and the size of the class's parameters, or zero.
#[must_use]
pub fn alloc(release: Release, [root, parent, new]: [u32; 3], class: u32, params: (u64, u32)) -> Request {
    let request = Request::escape(release, Device::Ctl, ALLOC);
    head(request, [root, parent, new, class]).u64(16, params.0).u32(32, params.1)
}

/// An RM_ALLOC in its short form, NVOS21. Events are allocated through the node of a GPU.
#[must_use]
pub fn alloc_short([root, parent, new]: [u32; 3], class: u32, params: (u64, u32)) -> Request {
    let layout = Layout { size_bytes: ALLOC_SHORT_BYTES, status_at: Some(28) };
    let device = if class::is_event(class) { Device::Gpu } else { Device::Ctl };
    let request = Request::with(device, ALLOC, word(ALLOC, ALLOC_SHORT_BYTES), layout);
    head(request, [root, parent, new, class]).u64(16, params.0).u32(24, params.1)
}

fn head(request: Request, [root, parent, new, class]: [u32; 4]) -> Request {
    let mut request = request.u32(0, root).u32(4, parent).u32(8, new).u32(12, class);
    request.about.class = Some(class);
    request
}

/// An RM_FREE.
#[must_use]
pub fn free(release: Release, root: u32, parent: u32, object: u32) -> Request {
    Request::escape(release, Device::Ctl, FREE).u32(0, root).u32(4, parent).u32(8, object)
}

/// An RM_CONTROL. `params` is the address and the size of the command's parameters, or zero.
#[must_use]
pub fn control(release: Release, client: u32, object: u32, command: u32, params: (u64, u32)) -> Request {
    let request = Request::escape(release, Device::Ctl, CONTROL);
    let mut request =
        request.u32(0, client).u32(4, object).u32(8, command).u64(16, params.0).u32(24, params.1);
    request.about.control = Some(command);
    request
}

/// An RM_ALLOC_MEMORY that pins pages of the caller.
#[must_use]
pub fn pin(release: Release, [root, parent, new]: [u32; 3], address: u64, bytes: u64) -> Request {
    let request = Request::escape(release, Device::Gpu, ALLOC_MEMORY);
    head(request, [root, parent, new, MEMORY_OS_DESCRIPTOR]).u64(24, address).u64(32, bytes.wrapping_sub(1))
}

/// An RM_MAP_MEMORY of an object into the caller's address space, through `file`.
#[must_use]
pub fn map(release: Release, [client, device, memory]: [u32; 3], length_bytes: u64, file: i32) -> Request {
    let request = Request::escape(release, Device::Ctl, MAP_MEMORY);
    request.u32(0, client).u32(4, device).u32(8, memory).u64(24, length_bytes).u32(48, file.cast_unsigned())
}

/// An RM_MAP_MEMORY_DMA or RM_UNMAP_MEMORY_DMA of an object in the address space of a GPU.
#[must_use]
pub fn dma(release: Release, number: u32, [client, device, dma, memory]: [u32; 4]) -> Request {
    let request = Request::escape(release, Device::Ctl, number);
    request.u32(0, client).u32(4, device).u32(8, dma).u32(12, memory)
}

/// An ALLOC_OS_EVENT for the file that the event makes readable.
#[must_use]
pub fn os_event(release: Release, client: u32, device: u32, file: i32) -> Request {
    let request = Request::escape(release, Device::Gpu, ALLOC_OS_EVENT);
    request.u32(0, client).u32(4, device).u32(8, file.cast_unsigned())
}

/// A request inside an XFER request. The status is written to `inner`, which must outlive the call.
#[must_use]
pub fn wrapped(release: Release, inner: &mut Request) -> Request {
    let address = inner.bytes.as_mut_ptr() as u64;
    let mut request = Request::escape(release, inner.device, XFER);
    request.number = inner.number;
    request.about = About { wrapped: true, ..inner.about };
    request.u32(0, inner.number).u32(4, inner.bytes.len() as u32).u64(8, address)
}
