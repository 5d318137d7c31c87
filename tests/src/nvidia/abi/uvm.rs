//! The commands of `/dev/nvidia-uvm`. Their words are plain numbers, so the layout of a struct depends only on the release.

use super::{
    Release,
    request::{Layout, Request},
};

/// `UVM_INITIALIZE`
pub const INITIALIZE: u32 = 0x3000_0001;
/// `UVM_CREATE_RANGE_GROUP`
pub const CREATE_RANGE_GROUP: u32 = 23;
/// `UVM_REGISTER_GPU_VASPACE`
pub const REGISTER_GPU_VASPACE: u32 = 25;
/// `UVM_REGISTER_CHANNEL`
pub const REGISTER_CHANNEL: u32 = 27;
/// `UVM_UNREGISTER_CHANNEL`
pub const UNREGISTER_CHANNEL: u32 = 28;
/// `UVM_MAP_EXTERNAL_ALLOCATION`
pub const MAP_EXTERNAL_ALLOCATION: u32 = 33;
/// `UVM_FREE`
pub const FREE: u32 = 34;
/// `UVM_REGISTER_GPU`
pub const REGISTER_GPU: u32 = 37;
/// `UVM_PAGEABLE_MEM_ACCESS`
pub const PAGEABLE_MEM_ACCESS: u32 = 39;
/// `UVM_SET_PREFERRED_LOCATION`
pub const SET_PREFERRED_LOCATION: u32 = 42;
/// `UVM_DISABLE_READ_DUPLICATION`
pub const DISABLE_READ_DUPLICATION: u32 = 45;
/// `UVM_MIGRATE`
pub const MIGRATE: u32 = 51;
/// `UVM_MAP_DYNAMIC_PARALLELISM_REGION`
pub const MAP_DYNAMIC_PARALLELISM_REGION: u32 = 65;
/// `UVM_VALIDATE_VA_RANGE`
pub const VALIDATE_VA_RANGE: u32 = 72;
/// `UVM_CREATE_EXTERNAL_RANGE`
pub const CREATE_EXTERNAL_RANGE: u32 = 73;
/// `UVM_MM_INITIALIZE`
pub const MM_INITIALIZE: u32 = 75;

/// Maximum number of GPUs in one `UVM_MAP_EXTERNAL_ALLOCATION`. The array is nearly all of its struct.
#[must_use]
pub fn gpus_max(release: Release) -> usize {
    if release >= Release(550, 40, 53) { 256 } else { 32 }
}

/// Offset after the array of GPUs in `UVM_MAP_EXTERNAL_ALLOCATION`. Their number as `u64`, the control file, the client, the
/// memory and the status follow.
#[must_use]
pub fn map_tail_at(release: Release) -> usize {
    24 + 36 * gpus_max(release)
}

/// The struct of a command.
#[must_use]
pub fn layout(release: Release, command: u32) -> Option<Layout> {
    let (size_bytes, status_at) = match command {
        INITIALIZE | CREATE_RANGE_GROUP => (16, 8),
        REGISTER_GPU_VASPACE => (32, 28),
        REGISTER_CHANNEL => (56, 48),
        UNREGISTER_CHANNEL if release >= Release(590, 44, 1) => (12, 8),
        UNREGISTER_CHANNEL => (28, 24),
        MAP_EXTERNAL_ALLOCATION => (map_tail_at(release) + 24, map_tail_at(release) + 20),
        FREE if release >= Release(590, 44, 1) => (16, 8),
        FREE => (24, 16),
        REGISTER_GPU => (40, 36),
        PAGEABLE_MEM_ACCESS | MM_INITIALIZE => (8, 4),
        SET_PREFERRED_LOCATION if release >= Release(550, 40, 7) => (40, 36),
        SET_PREFERRED_LOCATION => (40, 32),
        DISABLE_READ_DUPLICATION | VALIDATE_VA_RANGE | CREATE_EXTERNAL_RANGE => (24, 16),
        MIGRATE => (80, 72),
        MAP_DYNAMIC_PARALLELISM_REGION => (40, 32),
        _ => return None,
    };
    Some(Layout { size_bytes, status_at: Some(status_at) })
}

/// Whether a command's struct begins with an address, followed by a length at offset 8.
#[must_use]
pub fn has_length(release: Release, command: u32) -> bool {
    match command {
        FREE => release < Release(590, 44, 1),
        MAP_EXTERNAL_ALLOCATION
        | SET_PREFERRED_LOCATION
        | DISABLE_READ_DUPLICATION
        | MIGRATE
        | MAP_DYNAMIC_PARALLELISM_REGION
        | VALIDATE_VA_RANGE
        | CREATE_EXTERNAL_RANGE => true,
        _ => false,
    }
}

/// The UUID of a GPU of the fake driver.
#[must_use]
pub fn uuid(gpu: u32) -> [u8; 16] {
    let mut uuid = *b"glassbox-fake-\0\0";
    uuid[15] = gpu as u8;
    uuid
}

/// A command for a range of addresses.
#[must_use]
pub fn range(release: Release, command: u32, address: u64, bytes: u64) -> Request {
    let request = Request::uvm(release, command).u64(0, address);
    if has_length(release, command) { request.u64(8, bytes) } else { request }
}

/// Maps an object of the resource manager into a range, for one GPU.
#[must_use]
pub fn map(
    release: Release,
    address: u64,
    bytes: u64,
    gpu: u32,
    [client, memory]: [u32; 2],
    file: i32,
) -> Request {
    let tail = map_tail_at(release);
    range(release, MAP_EXTERNAL_ALLOCATION, address, bytes)
        .field(24, &uuid(gpu))
        .u64(tail, 1)
        .u32(tail + 8, file.cast_unsigned())
        .u32(tail + 12, client)
        .u32(tail + 16, memory)
}

/// Registers a channel with the address of its buffer.
#[must_use]
pub fn channel(release: Release, gpu: u32, [client, channel]: [u32; 2], address: u64, bytes: u64) -> Request {
    Request::uvm(release, REGISTER_CHANNEL)
        .field(0, &uuid(gpu))
        .u32(20, client)
        .u32(24, channel)
        .u64(32, address)
        .u64(40, bytes)
}

/// Registers the address space of a GPU.
#[must_use]
pub fn vaspace(release: Release, gpu: u32, [client, vaspace]: [u32; 2]) -> Request {
    Request::uvm(release, REGISTER_GPU_VASPACE).field(0, &uuid(gpu)).u32(20, client).u32(24, vaspace)
}
