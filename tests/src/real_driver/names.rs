//! The names of commands, statuses and errors that docs/metrics.md documents.

use glassbox_ebpf::nvidia_driver::commands::{CLASS_GROUPS, CONTROL_GROUPS, class_group, control_group};

/// Requests of the resource manager that the client and NVIDIA's programs send.
const ESCAPES: &[(u32, &str)] = &[
    (0x27, "rm_alloc_memory"),
    (0x29, "rm_free"),
    (0x2A, "rm_control"),
    (0x2B, "rm_alloc"),
    (0x34, "rm_dup_object"),
    (0x35, "rm_share"),
    (0x4A, "rm_vid_heap_control"),
    (0x4E, "rm_map_memory"),
    (0x4F, "rm_unmap_memory"),
    (0x57, "rm_map_memory_dma"),
    (0x58, "rm_unmap_memory_dma"),
    (0x5E, "rm_update_device_mapping_info"),
    (0xC8, "card_info"),
    (0xC9, "register_fd"),
    (0xCE, "alloc_os_event"),
    (0xCF, "free_os_event"),
    (0xD1, "status_code"),
    (0xD2, "check_version_str"),
    (0xD4, "attach_gpus_to_fd"),
    (0xD5, "query_device_intr"),
    (0xD6, "sys_params"),
    (0xD7, "numa_info"),
    (0xDA, "wait_open_complete"),
];

const UVM: &[(u32, &str)] = &[
    (23, "uvm_create_range_group"),
    (24, "uvm_destroy_range_group"),
    (25, "uvm_register_gpu_vaspace"),
    (27, "uvm_register_channel"),
    (28, "uvm_unregister_channel"),
    (33, "uvm_map_external_allocation"),
    (34, "uvm_free"),
    (37, "uvm_register_gpu"),
    (38, "uvm_unregister_gpu"),
    (39, "uvm_pageable_mem_access"),
    (42, "uvm_set_preferred_location"),
    (45, "uvm_disable_read_duplication"),
    (51, "uvm_migrate"),
    (65, "uvm_map_dynamic_parallelism_region"),
    (66, "uvm_unmap_external"),
    (70, "uvm_pageable_mem_access_on_gpu"),
    (72, "uvm_validate_va_range"),
    (73, "uvm_create_external_range"),
    (75, "uvm_mm_initialize"),
    (0x3000_0001, "uvm_initialize"),
    (0x3000_0002, "uvm_deinitialize"),
];

const STATUSES: &[(u32, &str)] = &[
    (0x1A, "insufficient_resources"),
    (0x1B, "insufficient_permissions"),
    (0x1F, "invalid_argument"),
    (0x22, "invalid_class"),
    (0x31, "invalid_object"),
    (0x33, "invalid_object_handle"),
    (0x38, "invalid_operation"),
    (0x3A, "invalid_param_struct"),
    (0x3B, "invalid_parameter"),
    (0x40, "invalid_state"),
    (0x51, "no_memory"),
    (0x55, "not_ready"),
    (0x56, "not_supported"),
    (0x57, "object_not_found"),
    (0x59, "operating_system"),
    (0x65, "timeout"),
    (0xFFFF, "generic"),
    (0x1_0006, "nothing_to_do"),
];

fn find(names: &[(u32, &'static str)], number: u32) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// The name of a request of the resource manager, which also depends on the first words of its structure. `None` if it is
/// not known here.
pub(super) fn escape(number: u32, words: &[u8]) -> Option<String> {
    let word = |at: usize| {
        let bytes = words.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    };
    let name = find(ESCAPES, number)?;
    let group = match number {
        0x2A => CONTROL_GROUPS.get(usize::from(control_group(word(8).unwrap_or(0)))),
        0x2B => CLASS_GROUPS.get(usize::from(class_group(word(12).unwrap_or(0)))),
        _ => None,
    };
    Some(group.map_or_else(|| name.to_owned(), |group| format!("{name}_{group}")))
}

/// The name of a command without its group; `*` if it is not known here.
pub(super) fn base(command: &str) -> &str {
    let is_group = |name: &str, groups: &[&str]| {
        let group = command.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
        group.is_some_and(|group| groups.contains(&group))
    };
    let names = ESCAPES.iter().chain(UVM).map(|(_, name)| *name);
    match names.chain(["other"]).find(|known| *known == command) {
        Some(known) => known,
        // `rm_alloc_memory` is also the name of a request, which was found above.
        None if is_group("rm_control", &CONTROL_GROUPS) => "rm_control",
        None if is_group("rm_alloc", &CLASS_GROUPS) => "rm_alloc",
        None => "*",
    }
}

/// The name of a UVM command; `None` if it is not known here.
pub(super) fn uvm(command: u32) -> Option<String> {
    find(UVM, command).map(str::to_owned)
}

/// The name of a status other than 0.
pub(super) fn status(status: u32) -> String {
    find(STATUSES, status).map_or_else(|| format!("0x{status:02x}"), str::to_owned)
}

/// The name of an error of `ioctl`.
pub(super) fn errno(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::EIO => "EIO",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        other => return format!("errno_{other}"),
    };
    name.to_owned()
}
