//! The offsets of the driver's status in the caller's structures, from the headers of NVIDIA/open-gpu-kernel-modules 535 and
//! 550 (nvos.h, nv-ioctl.h, uvm_ioctl.h).

use crate::nvidia::abi::{Release, frontend, uvm};

/// The status of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Its offset.
    At(usize),
    /// The structure has none; the return value of the call is the only result.
    None,
    /// Not known here.
    Unknown,
}

/// The status of a request of the resource manager, by its number and the size of its structure.
pub(super) fn escape(release: Release, number: u32, size_bytes: usize) -> Status {
    let at = |known_bytes: usize, at: usize| {
        if size_bytes == known_bytes { Status::At(at) } else { Status::Unknown }
    };
    match number {
        frontend::ALLOC if size_bytes == frontend::ALLOC_SHORT_BYTES => Status::At(28),
        // NV_ESC_STATUS_CODE, NV_ESC_QUERY_DEVICE_INTR
        0xD1 => at(12, 8),
        0xD5 => at(8, 4),
        // NV_ESC_RM_DUP_OBJECT, NV_ESC_RM_SHARE
        0x34 => at(28, 24),
        0x35 => at(24, 20),
        // NV_ESC_ATTACH_GPUS_TO_FD, NV_ESC_WAIT_OPEN_COMPLETE
        0xD4 | 0xDA => Status::None,
        frontend::CARD_INFO => Status::None,
        _ => match frontend::layout(release, number) {
            Some(layout) if layout.size_bytes == size_bytes => {
                layout.status_at.map_or(Status::None, Status::At)
            }
            _ => Status::Unknown,
        },
    }
}

/// The status of a UVM command.
pub(super) fn uvm(release: Release, command: u32) -> Status {
    match command {
        // UVM_DEINITIALIZE
        0x3000_0002 => Status::None,
        // UVM_DESTROY_RANGE_GROUP, UVM_UNREGISTER_GPU_VASPACE, UVM_UNREGISTER_GPU
        24 => Status::At(8),
        26 | 38 => Status::At(16),
        // UVM_MAP_EXTERNAL_SPARSE, UVM_UNMAP_EXTERNAL
        66 | 74 => Status::At(32),
        // UVM_PAGEABLE_MEM_ACCESS_ON_GPU
        70 => Status::At(20),
        _ => uvm::layout(release, command)
            .and_then(|layout| layout.status_at)
            .map_or(Status::Unknown, Status::At),
    }
}
