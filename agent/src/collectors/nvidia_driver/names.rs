//! Names of commands and statuses for labels.

use std::borrow::Cow;

use glassbox_ebpf::nvidia_driver::{
    UNDEFINED_STATUS,
    commands::{ALLOC, CLASS_GROUPS, CONTROL, CONTROL_GROUPS, OTHER, UNKNOWN, UVM, UVM_END},
    device,
};

/// The name of a device kind.
pub(super) fn device(kind: u16) -> &'static str {
    match u32::from(kind) {
        device::CTL => "ctl",
        device::GPU => "gpu",
        device::UVM => "uvm",
        _ => "other",
    }
}

/// The name of a command, by the number that the programs use.
pub(super) fn command(command: u16) -> Cow<'static, str> {
    let group = usize::from(command & 0xFF);
    match command & 0xFF00 {
        0 => escape(command).into(),
        CONTROL => format!("rm_control_{}", CONTROL_GROUPS.get(group).unwrap_or(&"other")).into(),
        ALLOC => format!("rm_alloc_{}", CLASS_GROUPS.get(group).unwrap_or(&"other")).into(),
        UVM => uvm(command & 0xFF),
        OTHER => "other".into(),
        _ => "unknown".into(),
    }
}

fn escape(number: u16) -> &'static str {
    match number {
        0x27 => "rm_alloc_memory",
        0x28 => "rm_alloc_object",
        0x29 => "rm_free",
        0x34 => "rm_dup_object",
        0x35 => "rm_share",
        0x39 => "rm_i2c_access",
        0x41 => "rm_idle_channels",
        0x4A => "rm_vid_heap_control",
        0x4D => "rm_access_registry",
        0x4E => "rm_map_memory",
        0x4F => "rm_unmap_memory",
        0x52 => "rm_get_event_data",
        0x54 => "rm_alloc_context_dma2",
        0x56 => "rm_add_vblank_callback",
        0x57 => "rm_map_memory_dma",
        0x58 => "rm_unmap_memory_dma",
        0x59 => "rm_bind_context_dma",
        0x5C => "rm_export_object_to_fd",
        0x5D => "rm_import_object_from_fd",
        0x5E => "rm_update_device_mapping_info",
        0x5F => "rm_lockless_diagnostic",
        0xC8 => "card_info",
        0xC9 => "register_fd",
        0xCE => "alloc_os_event",
        0xCF => "free_os_event",
        0xD1 => "status_code",
        0xD2 => "check_version_str",
        0xD3 => "ioctl_xfer",
        0xD4 => "attach_gpus_to_fd",
        0xD5 => "query_device_intr",
        0xD6 => "sys_params",
        0xD7 => "numa_info",
        0xD8 => "set_numa_status",
        0xD9 => "export_to_dmabuf_fd",
        0xDA => "wait_open_complete",
        _ => "unknown",
    }
}

fn uvm(index: u16) -> Cow<'static, str> {
    let name = match index {
        23 => "create_range_group",
        24 => "destroy_range_group",
        25 => "register_gpu_vaspace",
        26 => "unregister_gpu_vaspace",
        27 => "register_channel",
        28 => "unregister_channel",
        29 => "enable_peer_access",
        30 => "disable_peer_access",
        31 => "set_range_group",
        33 => "map_external_allocation",
        34 => "free",
        37 => "register_gpu",
        38 => "unregister_gpu",
        39 => "pageable_mem_access",
        40 => "prevent_migration_range_groups",
        41 => "allow_migration_range_groups",
        42 => "set_preferred_location",
        43 => "unset_preferred_location",
        44 => "enable_read_duplication",
        45 => "disable_read_duplication",
        46 => "set_accessed_by",
        47 => "unset_accessed_by",
        51 => "migrate",
        53 => "migrate_range_group",
        54 => "enable_system_wide_atomics",
        55 => "disable_system_wide_atomics",
        56..=64 | 67 | 76 | 77 => "tools",
        65 => "map_dynamic_parallelism_region",
        66 => "unmap_external",
        68 => "alloc_semaphore_pool",
        69 => "clean_up_zombie_resources",
        70 => "pageable_mem_access_on_gpu",
        71 => "populate_pageable",
        72 => "validate_va_range",
        73 => "create_external_range",
        74 => "map_external_sparse",
        75 => "mm_initialize",
        78 => "alloc_device_p2p",
        79 => "clear_all_access_counters",
        80 => "discard",
        _ if u32::from(index) == UVM_END => "initialize",
        _ if u32::from(index) == UVM_END + 1 => "deinitialize",
        UNKNOWN => "unknown",
        other => return format!("uvm_{other}").into(),
    };
    format!("uvm_{name}").into()
}

/// The name of a driver status (nvstatuscodes.h); uncommon ones keep their number.
pub(super) fn status(status: u32) -> Cow<'static, str> {
    let name = match status {
        0x0B => "ecc_error",
        0x0F => "gpu_is_lost",
        0x1A => "insufficient_resources",
        0x1B => "insufficient_permissions",
        0x1F => "invalid_argument",
        0x22 => "invalid_class",
        0x31 => "invalid_object",
        0x33 => "invalid_object_handle",
        0x38 => "invalid_operation",
        0x3A => "invalid_param_struct",
        0x3B => "invalid_parameter",
        0x40 => "invalid_state",
        0x4F => "no_free_fifos",
        0x51 => "no_memory",
        0x55 => "not_ready",
        0x56 => "not_supported",
        0x57 => "object_not_found",
        0x59 => "operating_system",
        0x5D => "page_table_not_avail",
        0x60 => "rc_error",
        0x62 => "reset_required",
        0x65 => "timeout",
        0x66 => "timeout_retry",
        0x6E => "resource_lost",
        0x72 => "memory_error",
        0xFFFF => "generic",
        0x1_0001 => "hot_switch",
        0x1_0002 => "incorrect_perfmon_data",
        0x1_0003 => "mismatched_slave",
        0x1_0004 => "mismatched_target",
        0x1_0005 => "more_processing_required",
        0x1_0006 => "nothing_to_do",
        0x1_0007 => "null_object",
        0x1_0008 => "out_of_range",
        UNDEFINED_STATUS => "undefined",
        other => return format!("0x{other:02x}").into(),
    };
    name.into()
}

/// The name of an error number of ioctl(2).
pub(super) fn errno(number: u32) -> Cow<'static, str> {
    let name = match number.cast_signed() {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::ENOTCONN => "ENOTCONN",
        other => return format!("errno_{other}").into(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_descriptive_names() {
        let names = [
            0x4A,
            0xFF,
            CONTROL | 10,
            ALLOC | 3,
            UVM | 51,
            UVM | 54,
            UVM | 69,
            UVM | 96,
            UVM | 0xFF,
            UVM | 5,
            OTHER,
        ]
        .map(command);
        let expected = [
            "rm_vid_heap_control",
            "unknown",
            "rm_control_channel",
            "rm_alloc_memory_video",
            "uvm_migrate",
            "uvm_enable_system_wide_atomics",
            "uvm_clean_up_zombie_resources",
            "uvm_initialize",
            "uvm_unknown",
            "uvm_5",
            "other",
        ];
        assert_eq!(names.each_ref().map(AsRef::as_ref), expected);
    }

    #[test]
    fn every_number_has_a_name_that_is_valid_in_a_label() {
        for number in 0..=u16::MAX {
            let name = command(number);
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
        }
        assert_eq!(
            (status(0x51), status(0x2C), errno(22), errno(4000)),
            ("no_memory".into(), "0x2c".into(), "EINVAL".into(), "errno_4000".into())
        );
    }
}
