//! Commands as the programs count them: 16-bit numbers. There are so few that a hostile caller cannot fill a map with
//! invented commands.
//!
//! A request of the resource manager is counted under its number. `RM_CONTROL` and `RM_ALLOC` are split into groups by
//! what they control or allocate. UVM commands follow. The numbers are those of the open kernel modules 515 to 595
//! (nv_escape.h, nv-ioctl-numbers.h, uvm_ioctl.h, the class and control headers).

/// The type letter in request words of the resource manager.
pub const MAGIC: u32 = b'F' as u32;
/// The type letter in request words of nvidia-modeset.
pub const MODESET_MAGIC: u32 = b'm' as u32;

/// `NV_ESC_RM_ALLOC_MEMORY`.
pub const RM_ALLOC_MEMORY: u32 = 0x27;
/// `NV_ESC_RM_FREE`.
pub const RM_FREE: u32 = 0x29;
/// `NV_ESC_RM_CONTROL`.
pub const RM_CONTROL: u32 = 0x2A;
/// `NV_ESC_RM_ALLOC`.
pub const RM_ALLOC: u32 = 0x2B;
/// `NV_ESC_RM_VID_HEAP_CONTROL`.
pub const RM_VID_HEAP_CONTROL: u32 = 0x4A;
/// `NV_ESC_IOCTL_XFER_CMD`: a wrapper for structures that are too large for the size field of the request word.
pub const XFER: u32 = 0xD3;
/// `UVM_REGISTER_GPU_VASPACE`.
pub const UVM_REGISTER_GPU_VASPACE: u32 = 25;
/// `UVM_REGISTER_CHANNEL`.
pub const UVM_REGISTER_CHANNEL: u32 = 27;
/// `UVM_UNREGISTER_CHANNEL`.
pub const UVM_UNREGISTER_CHANNEL: u32 = 28;
/// `UVM_INITIALIZE`.
pub const UVM_INITIALIZE: u32 = 0x3000_0001;
/// `UVM_DEINITIALIZE`.
pub const UVM_DEINITIALIZE: u32 = 0x3000_0002;
/// All other UVM commands are below this number.
pub const UVM_END: u32 = 96;

/// A request with a number that the driver does not define.
pub const UNKNOWN: u16 = 0xFF;
/// Base of the groups of `RM_CONTROL`.
pub const CONTROL: u16 = 0x100;
/// Base of the groups of `RM_ALLOC`.
pub const ALLOC: u16 = 0x200;
/// Base of the UVM commands.
pub const UVM: u16 = 0x300;
/// A request to any other device of the driver.
pub const OTHER: u16 = 0x400;
/// Not a request: a wait in poll(2).
pub const POLL: u16 = 0x500;

/// Names of the groups of `RM_CONTROL`, by [`control_group`].
pub const CONTROL_GROUPS: [&str; 17] = [
    "other",
    "system",
    "gpu_ids",
    "share",
    "device",
    "subdevice",
    "memory_info",
    "perf",
    "event",
    "monitoring",
    "channel",
    "debug",
    "p2p",
    "profiling",
    "confidential_computing",
    "nvlink",
    "undocumented",
];

/// The group of a control command: an index into [`CONTROL_GROUPS`]. The upper half of a command is the class of the
/// object that the command is for.
#[inline(always)]
#[must_use]
pub const fn control_group(command: u32) -> u16 {
    if command & 0x8000 != 0 {
        return 16;
    }
    match command >> 16 {
        0x0000 => match command & 0xFFFF {
            0x0127 | 0x012B | 0x013A => 12,
            0x0200..0x0300 => 2,
            0x3D00..0x3E00 => 3,
            _ => 1,
        },
        0x0080 => 4,
        0x2080 => match command & 0xFFFF {
            // Used by nvidia-smi, NVML and DCGM, not by CUDA.
            0x018D | 0x018E | 0x2087 | 0x2096 => 9,
            0x0300..0x0400 => 8,
            0x1300..0x1400 => 6,
            0x2000..0x2100 => 7,
            0x3000..0x3100 => 15,
            _ => 5,
        },
        0xA06C | 0xA06F | 0x906F | 0xC36F | 0xC46F | 0xC56F | 0xC86F | 0xC96F | 0xCA6F => 10,
        0x83DE => 11,
        0x503C => 12,
        0xB0CC => 13,
        0xCB33 => 14,
        _ => 0,
    }
}

/// Names of the groups of `RM_ALLOC`, by [`class_group`].
pub const CLASS_GROUPS: [&str; 20] = [
    "other",
    "client",
    "device",
    "memory_video",
    "memory_system",
    "memory_virtual",
    "memory_pinned",
    "vaspace",
    "channel_group",
    "channel",
    "context_share",
    "compute",
    "copy_engine",
    "event",
    "doorbell",
    "p2p",
    "debugger",
    "profiler",
    "memory_fabric",
    "mps",
];

/// GPU memory: a group of [`CLASS_GROUPS`].
pub const MEMORY_VIDEO: u16 = 3;
/// Host memory.
pub const MEMORY_SYSTEM: u16 = 4;
/// Host memory that belongs to the caller.
pub const MEMORY_PINNED: u16 = 6;
/// An event.
pub const EVENT: u16 = 13;

/// The group of a class: an index into [`CLASS_GROUPS`]. Channels, compute engines and copy engines have one class per
/// GPU generation. These classes have the same low byte.
#[inline(always)]
#[must_use]
pub const fn class_group(class: u32) -> u16 {
    match class {
        0x00 | 0x01 | 0x41 => 1,
        0x80 | 0x2080 | 0x2081 | 0x90E6 => 2,
        0x40 => MEMORY_VIDEO,
        0x3E => MEMORY_SYSTEM,
        0x50A0 => 5,
        0x71 => MEMORY_PINNED,
        0x90F1 => 7,
        0xA06C => 8,
        0x9067 => 10,
        0x05 | 0x79 => EVENT,
        0xC361 | 0xC461 | 0xC561 | 0xC661 | 0xC761 => 14,
        0x503B | 0x503C => 15,
        0x83DE => 16,
        0xB2CC => 17,
        0xF8 | 0xFD => 18,
        0x900E => 19,
        0xC000..0x1_0000 => match class & 0xFF {
            0x6F => 9,
            0xC0 => 11,
            0xB5 => 12,
            _ => 0,
        },
        _ => 0,
    }
}

/// The index of a UVM command in the table of layouts, relative to its base; `None` if it is not a UVM command.
#[inline(always)]
#[must_use]
pub const fn uvm_index(command: u32) -> Option<u32> {
    match command {
        UVM_INITIALIZE => Some(UVM_END),
        UVM_DEINITIALIZE => Some(UVM_END + 1),
        0..UVM_END => Some(command),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn control(command: u32) -> &'static str {
        CONTROL_GROUPS[control_group(command) as usize]
    }

    fn class(class: u32) -> &'static str {
        CLASS_GROUPS[class_group(class) as usize]
    }

    #[test]
    fn control_commands_are_grouped_by_the_class_of_their_object() {
        let of =
            |commands: &[u32]| commands.iter().map(|&command| control(command)).collect::<std::vec::Vec<_>>();
        assert_eq!(of(&[0x101, 0x214, 0x3D05, 0x12B]), ["system", "gpu_ids", "share", "p2p"]);
        assert_eq!(of(&[0x0080_170D, 0x2080_0102, 0x2080_1303]), ["device", "subdevice", "memory_info"]);
        assert_eq!(of(&[0x2080_018D, 0x2080_0301, 0x2080_200A]), ["monitoring", "event", "perf"]);
        assert_eq!(of(&[0xC36F_0108, 0xA06C_0101, 0x83DE_0307]), ["channel", "channel", "debug"]);
        assert_eq!(of(&[0x2080_8161, 0x0080_9909, 0x1234_0001]), ["undocumented", "undocumented", "other"]);
    }

    #[test]
    fn classes_of_all_generations_are_grouped() {
        for channel in [0xC46F, 0xC56F, 0xC86F, 0xC96F, 0xCA6F] {
            assert_eq!(class(channel), "channel");
        }
        for compute in [0xC5C0, 0xC6C0, 0xC7C0, 0xC9C0, 0xCBC0, 0xCDC0, 0xCEC0] {
            assert_eq!(class(compute), "compute");
        }
        assert_eq!(
            [class(0x40), class(0x3E), class(0xC7B5)],
            ["memory_video", "memory_system", "copy_engine"]
        );
        for doorbell in [0xC361, 0xC461, 0xC561, 0xC661, 0xC761] {
            assert_eq!(class(doorbell), "doorbell");
        }
        assert_eq!([class(0xFFFF_FFFF), class(0xC001)], ["other", "other"]);
    }

    #[test]
    fn each_uvm_command_has_its_own_index() {
        for command in 0..UVM_END {
            assert_eq!(uvm_index(command), Some(command), "{command}");
        }
        assert_eq!([uvm_index(UVM_INITIALIZE), uvm_index(UVM_DEINITIALIZE)], [Some(96), Some(97)]);
        assert_eq!([uvm_index(UVM_END), uvm_index(u32::MAX)], [None, None]);
    }
}
