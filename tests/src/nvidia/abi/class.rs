//! Classes of the resource manager's objects that compute clients allocate (allclasses.h and its cl*.h).

/// The client itself: two old classes and the current one.
pub const ROOTS: [u32; 3] = [0x00, 0x01, ROOT_CLIENT];
/// `NV01_ROOT_CLIENT`
pub const ROOT_CLIENT: u32 = 0x41;
/// `NV01_EVENT`
pub const EVENT: u32 = 0x05;
/// `NV01_EVENT_OS_EVENT`
pub const EVENT_OS_EVENT: u32 = 0x79;
/// `NV01_MEMORY_SYSTEM`: memory of the host.
pub const MEMORY_SYSTEM: u32 = 0x3E;
/// `NV01_MEMORY_LOCAL_USER`: memory of the GPU.
pub const MEMORY_LOCAL_USER: u32 = 0x40;
/// `NV50_MEMORY_VIRTUAL`: addresses without memory.
pub const MEMORY_VIRTUAL: u32 = 0x50A0;
/// `NV01_MEMORY_SYSTEM_OS_DESCRIPTOR`: pages of the caller, pinned.
pub const MEMORY_OS_DESCRIPTOR: u32 = 0x71;
/// `NV01_DEVICE_0`; its parameters begin with the number of the GPU.
pub const DEVICE: u32 = 0x80;
/// `NV20_SUBDEVICE_0`
pub const SUBDEVICE: u32 = 0x2080;
/// `NV00DE` `RM_USER_SHARED_DATA`
pub const USER_SHARED_DATA: u32 = 0xDE;
/// `FERMI_CONTEXT_SHARE_A`
pub const CONTEXT_SHARE: u32 = 0x9067;
/// `GF100_SUBDEVICE_MASTER`
pub const SUBDEVICE_MASTER: u32 = 0x90E6;
/// `FERMI_VASPACE_A`
pub const VASPACE: u32 = 0x90F1;
/// `KEPLER_CHANNEL_GROUP_A`
pub const CHANNEL_GROUP: u32 = 0xA06C;
/// `HOPPER_USERMODE_A`: the doorbell page.
pub const USERMODE: u32 = 0xC661;
/// `HOPPER_CHANNEL_GPFIFO_A`
pub const CHANNEL: u32 = 0xC86F;
/// `HOPPER_DMA_COPY_A`
pub const COPY: u32 = 0xC8B5;
/// `HOPPER_COMPUTE_A`: an object of this class makes a process a compute process.
pub const COMPUTE: u32 = 0xCBC0;
/// `NV_CONFIDENTIAL_COMPUTE`
pub const CONFIDENTIAL_COMPUTE: u32 = 0xCB33;

/// Other classes that compute clients allocate on some GPUs.
const OTHERS: [u32; 32] = [
    0x3F, 0x83DE, 0x900E, 0x2081, 0x503B, 0x503C, 0xF8, 0xFD, 0xB2CC, 0xC46F, 0xC56F, 0xC96F, 0xCA6F, 0xC5B5,
    0xC6B5, 0xC7B5, 0xC9B5, 0xCAB5, 0xC5C0, 0xC6C0, 0xC7C0, 0xC9C0, 0xCDC0, 0xCEC0, 0xC461, 0xC761, 0x78,
    0x7E, 0xA16F, 0xB06F, 0xC06F, 0xC36F,
];

/// Whether the driver has this class.
#[must_use]
pub fn exists(class: u32) -> bool {
    is_memory(class)
        || is_event(class)
        || ROOTS.contains(&class)
        || OTHERS.contains(&class)
        || matches!(
            class,
            DEVICE
                | SUBDEVICE
                | USER_SHARED_DATA
                | CONTEXT_SHARE
                | SUBDEVICE_MASTER
                | VASPACE
                | CHANNEL_GROUP
                | USERMODE
                | CHANNEL
                | COPY
                | COMPUTE
                | CONFIDENTIAL_COMPUTE
        )
}

/// Whether it is memory, or an address range for it. Such objects have no children.
#[must_use]
pub fn is_memory(class: u32) -> bool {
    matches!(class, MEMORY_SYSTEM | MEMORY_LOCAL_USER | MEMORY_VIRTUAL | MEMORY_OS_DESCRIPTOR)
}

/// Whether it is an event, which can also be allocated through the nodes of GPUs.
#[must_use]
pub fn is_event(class: u32) -> bool {
    matches!(class, EVENT | EVENT_OS_EVENT | 0x78 | 0x7E)
}
