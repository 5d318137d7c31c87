//! Names of calls, statuses and errors in the agent's labels.

use glassbox_ebpf::nvidia_driver::commands::{CLASS_GROUPS, CONTROL_GROUPS, class_group, control_group};
use serde_json::Value;

/// Names of requests other than RM_CONTROL and RM_ALLOC, as documented in docs/metrics.md.
const ESCAPES: &[(u64, &str)] = &[
    (0x27, "rm_alloc_memory"),
    (0x29, "rm_free"),
    (0x34, "rm_dup_object"),
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
    (0xD2, "check_version_str"),
    (0xD6, "sys_params"),
    (0xD7, "numa_info"),
];

const UVM: &[(u64, &str)] = &[
    (23, "create_range_group"),
    (25, "register_gpu_vaspace"),
    (27, "register_channel"),
    (28, "unregister_channel"),
    (33, "map_external_allocation"),
    (34, "free"),
    (37, "register_gpu"),
    (39, "pageable_mem_access"),
    (42, "set_preferred_location"),
    (45, "disable_read_duplication"),
    (51, "migrate"),
    (65, "map_dynamic_parallelism_region"),
    (66, "unmap_external"),
    (72, "validate_va_range"),
    (73, "create_external_range"),
    (75, "mm_initialize"),
    (0x3000_0001, "initialize"),
];

/// Device and command of a call.
pub(super) fn call(call: &Value) -> String {
    let device = call["device"].as_str().unwrap();
    let number = call["request"].as_u64().unwrap();
    let word = |key: &str| call[key].as_u64().map(|word| u32::try_from(word).unwrap());
    let known = |names: &[(u64, &str)]| {
        let found = names.iter().find(|(known, _)| *known == number);
        found.unwrap_or_else(|| panic!("{device} {number:#x} has no name here")).1.to_owned()
    };
    let command = match (device, number) {
        ("uvm", _) => format!("uvm_{}", known(UVM)),
        (_, 0x2A) => {
            format!("rm_control_{}", CONTROL_GROUPS[control_group(word("control").unwrap()) as usize])
        }
        (_, 0x2B) => format!("rm_alloc_{}", CLASS_GROUPS[class_group(word("class").unwrap()) as usize]),
        _ => known(ESCAPES),
    };
    format!("{device} {command}")
}

/// A status of the driver other than success.
pub(super) fn status(status: &str) -> &'static str {
    match status {
        "26" => "insufficient_resources",
        "81" => "no_memory",
        "86" => "not_supported",
        // A warning is not an error.
        "65542" => "warning nothing_to_do",
        other => panic!("status {other} has no name here"),
    }
}

/// An error of `ioctl`.
pub(super) fn errno(errno: &str) -> &'static str {
    match errno {
        "9" => "EBADF",
        "14" => "EFAULT",
        "22" => "EINVAL",
        other => panic!("error {other} has no name here"),
    }
}
