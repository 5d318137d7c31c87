//! Memory requests: VID_HEAP_CONTROL (NVOS32), and the parameters of RM_ALLOC's memory classes.

use super::{Device, Release, frontend::VID_HEAP_CONTROL, request::Request};

/// `NVOS32_FUNCTION_ALLOC_SIZE`
pub const ALLOC_SIZE: u32 = 2;
/// `NVOS32_FUNCTION_FREE`
pub const FREE: u32 = 3;
/// `NVOS32_FUNCTION_ALLOC_SIZE_RANGE`
pub const ALLOC_SIZE_RANGE: u32 = 14;
/// `NVOS32_FUNCTION_ALLOC_OS_DESCRIPTOR`
pub const ALLOC_OS_DESCRIPTOR: u32 = 27;

/// `NVOS32_ALLOC_FLAGS_VIRTUAL`: an address range without memory.
pub const FLAG_VIRTUAL: u32 = 0x0008_0000;
/// `NVOS32_ATTR_LOCATION_PCI` at its position: memory of the host. Video memory is 0.
pub const ATTR_PCI: u32 = 1 << 25;

/// Offset of the function.
pub const FUNCTION_AT: usize = 8;
/// Offset of the handle in `ALLOC_SIZE`, `ALLOC_SIZE_RANGE` and `FREE`.
pub const MEMORY_AT: usize = 44;
/// Offset of the handle in `ALLOC_OS_DESCRIPTOR`.
pub const DESCRIPTOR_MEMORY_AT: usize = 40;
/// Offset of the flags of an allocation.
pub const FLAGS_AT: usize = 52;
/// Offset of the attributes of an allocation.
pub const ATTR_AT: usize = 56;

/// Offset of the size in `NV_MEMORY_ALLOCATION_PARAMS`.
pub const PARAMS_SIZE_AT: usize = 64;

/// Offset of the size, which the driver replaces by the granted size.
#[must_use]
pub fn size_at(function: u32) -> usize {
    if function == ALLOC_SIZE_RANGE { 80 } else { 88 }
}

/// An allocation. For the handle 0 the driver chooses one.
#[must_use]
pub fn alloc(
    release: Release,
    function: u32,
    [root, parent, new]: [u32; 3],
    attr: u32,
    bytes: u64,
) -> Request {
    request(release, function, root, parent)
        .u32(MEMORY_AT, new)
        .u32(ATTR_AT, attr)
        .u64(size_at(function), bytes)
}

/// Frees an allocation.
#[must_use]
pub fn free(release: Release, root: u32, parent: u32, memory: u32) -> Request {
    request(release, FREE, root, parent).u32(MEMORY_AT, memory)
}

/// Pins pages of the caller.
#[must_use]
pub fn pin(release: Release, [root, parent, new]: [u32; 3], address: u64, bytes: u64) -> Request {
    request(release, ALLOC_OS_DESCRIPTOR, root, parent)
        .u32(DESCRIPTOR_MEMORY_AT, new)
        .u64(64, address)
        .u64(72, bytes.wrapping_sub(1))
}

fn request(release: Release, function: u32, root: u32, parent: u32) -> Request {
    let request = Request::escape(release, Device::Ctl, VID_HEAP_CONTROL);
    let mut request = request.u32(0, root).u32(4, parent).u32(FUNCTION_AT, function);
    request.about.function = Some(function);
    request
}

/// Size of `NV_MEMORY_ALLOCATION_PARAMS`.
#[must_use]
pub fn params_bytes(release: Release) -> usize {
    if release >= Release(545, 23, 6) { 128 } else { 120 }
}
