//! Samples of ioctls by device and command: which commands have series of their own, and sums over the others.
//!
//! CUDA sends some 50 combinations of device and command. The list of commands with series of their own is fixed: if it
//! followed the counts, a command could move between its own series and `other`, and both counters would decrease.

use glassbox_ebpf::counters::Counters as _;

use crate::{
    exposition::sample::{Emit, Resolution},
    snapshot::{
        ContainerRow,
        nvidia_driver::{DriverUsage, Failure},
    },
};

/// The label `command` of all commands that are not listed.
const OTHER: &str = "other";
/// The values of the label `device`.
const DEVICES: [&str; 4] = ["ctl", "gpu", "other", "uvm"];

/// The commands that allocate, map and move memory, create channels and contexts, and read the state of a GPU.
const LISTED: [&str; 15] = [
    "rm_alloc_channel",
    "rm_alloc_memory",
    "rm_alloc_memory_video",
    "rm_control_channel",
    "rm_control_memory_info",
    "rm_control_monitoring",
    "rm_control_subdevice",
    "rm_free",
    "rm_map_memory",
    "rm_map_memory_dma",
    "rm_vid_heap_control",
    "uvm_free",
    "uvm_map_external_allocation",
    "uvm_migrate",
    "uvm_register_gpu_vaspace",
];

/// The value of the label `command` for a command.
fn exported<'a>(driver: &DriverUsage, command: &'a str) -> &'a str {
    if driver.per_command_histograms || LISTED.contains(&command) { command } else { OTHER }
}

/// Durations by device, and by command if `per_command_histograms` is set.
pub(super) fn durations(row: &ContainerRow, emit: &mut Emit<'_>) {
    let Some(driver) = &row.nvidia_driver else { return };
    if driver.per_command_histograms {
        for usage in &driver.commands {
            emit.with(&[usage.device, &usage.command]).histogram(&usage.durations, Resolution::Coarse);
        }
        return;
    }
    for device in DEVICES {
        let mut usages = driver.commands.iter().filter(|usage| usage.device == device);
        let Some(first) = usages.next() else { continue };
        let mut durations = first.durations;
        for usage in usages {
            durations.add(&usage.durations);
        }
        emit.with(&[device]).histogram(&durations, Resolution::Coarse);
    }
}

/// Completed ioctls by device and command.
pub(super) fn counts(row: &ContainerRow, emit: &mut Emit<'_>) {
    totals(row, |labels, count, _| emit.with(labels).count(count));
}

/// Total duration by device and command.
pub(super) fn times(row: &ContainerRow, emit: &mut Emit<'_>) {
    totals(row, |labels, _, time_ns| emit.with(labels).nanoseconds(time_ns));
}

/// Rejected ioctls by device, command and status.
pub(super) fn statuses(row: &ContainerRow, emit: &mut Emit<'_>) {
    failures(row, emit, |reason| match reason {
        Failure::Status(name) => Some(name),
        Failure::Warning(_) | Failure::Errno(_) => None,
    });
}

/// Ioctls with a warning by device, command and status.
pub(super) fn warnings(row: &ContainerRow, emit: &mut Emit<'_>) {
    failures(row, emit, |reason| match reason {
        Failure::Warning(name) => Some(name),
        Failure::Status(_) | Failure::Errno(_) => None,
    });
}

/// Failed ioctls by device, command and errno.
pub(super) fn errors(row: &ContainerRow, emit: &mut Emit<'_>) {
    failures(row, emit, |reason| match reason {
        Failure::Errno(name) => Some(name),
        Failure::Status(_) | Failure::Warning(_) => None,
    });
}

/// Calls `each` with device and command, the number of ioctls and their duration in nanoseconds. Sums over commands are
/// complete, because commands that are not listed are counted as `other`.
fn totals(row: &ContainerRow, mut each: impl FnMut(&[&str], u64, u64)) {
    let Some(driver) = &row.nvidia_driver else { return };
    let mut others = [(0, 0); DEVICES.len()];
    for usage in &driver.commands {
        let (count, time_ns) = (usage.durations.count(), usage.durations.sum_ns);
        let listed = driver.per_command_histograms || LISTED.contains(&&*usage.command);
        match DEVICES.iter().position(|device| *device == usage.device) {
            Some(device) if !listed => {
                others[device].0 += count;
                others[device].1 += time_ns;
            }
            _ => each(&[usage.device, &usage.command], count, time_ns),
        }
    }
    for (device, (count, time_ns)) in DEVICES.into_iter().zip(others).filter(|(_, (count, _))| *count > 0) {
        each(&[device, OTHER], count, time_ns);
    }
}

/// Failed ioctls by device, command and the name of the reason, if `name` returns one.
fn failures(row: &ContainerRow, emit: &mut Emit<'_>, name: fn(&Failure) -> Option<&str>) {
    let Some(driver) = &row.nvidia_driver else { return };
    let mut sums: Vec<([&str; 3], u64)> = Vec::with_capacity(driver.failures.len());
    for failure in &driver.failures {
        let Some(reason) = name(&failure.reason) else { continue };
        let labels = [failure.device, exported(driver, &failure.command), reason];
        match sums.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, count)) => *count += failure.count,
            None => sums.push((labels, failure.count)),
        }
    }
    for (labels, count) in sums {
        emit.with(&labels).count(count);
    }
}
