//! Which commands have series of their own, and sums over the rest.
//!
//! CUDA sends some 50 combinations of device and command. The list of commands with series of their own is fixed: if it
//! followed the counts, a command could move between its own series and `other`, and both counters would fall.

use glassbox_ebpf::counters::Counters as _;

use crate::snapshot::{
    nvidia_driver::{DriverUsage, Failure},
    scheduler::Histogram,
};

/// The label `command` of all commands that are not listed.
const OTHER: &str = "other";
/// The values of the label `device`.
const DEVICES: [&str; 4] = ["ctl", "gpu", "other", "uvm"];

/// The commands that allocate, map and move memory, make channels and contexts, and read the state of a GPU.
pub(crate) const LISTED: [&str; 15] = [
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

/// The name under which a command is exported.
fn exported<'a>(driver: &DriverUsage, command: &'a str) -> &'a str {
    if driver.per_command_histograms || LISTED.contains(&command) { command } else { OTHER }
}

/// Calls `each` with device, command, number of calls and their time in nanoseconds. The totals over commands are complete.
pub(super) fn totals(driver: &DriverUsage, mut each: impl FnMut(&str, &str, u64, u64)) {
    let mut others = [(0, 0); DEVICES.len()];
    for usage in &driver.commands {
        let (calls, time_ns) = (usage.durations.count(), usage.durations.sum_ns);
        let listed = driver.per_command_histograms || LISTED.contains(&&*usage.command);
        match DEVICES.iter().position(|device| *device == usage.device) {
            Some(device) if !listed => {
                others[device].0 += calls;
                others[device].1 += time_ns;
            }
            _ => each(usage.device, &usage.command, calls, time_ns),
        }
    }
    for (device, (calls, time_ns)) in DEVICES.into_iter().zip(others).filter(|(_, (calls, _))| *calls > 0) {
        each(device, OTHER, calls, time_ns);
    }
}

/// Calls `each` with the durations of all calls to a device.
pub(super) fn by_device(driver: &DriverUsage, mut each: impl FnMut(&str, &Histogram)) {
    for device in DEVICES {
        let mut calls = driver.commands.iter().filter(|usage| usage.device == device);
        let Some(first) = calls.next() else { continue };
        let mut durations = first.durations;
        for usage in calls {
            durations.add(&usage.durations);
        }
        each(device, &durations);
    }
}

/// Calls `each` with device, command, reason and number of failed calls, for those whose reason `name` names.
pub(super) fn failures(
    driver: &DriverUsage,
    name: fn(&Failure) -> Option<&str>,
    mut each: impl FnMut(&str, &str, &str, u64),
) {
    let mut sums: Vec<([&str; 3], u64)> = Vec::with_capacity(driver.failures.len());
    for failure in &driver.failures {
        let Some(reason) = name(&failure.reason) else { continue };
        let labels = [failure.device, exported(driver, &failure.command), reason];
        match sums.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, count)) => *count += failure.count,
            None => sums.push((labels, failure.count)),
        }
    }
    for ([device, command, reason], count) in sums {
        each(device, command, reason, count);
    }
}
