//! Block I/O, by device. How full a container's filesystem is: [`disk`](super::disk).

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, cgroup::DeviceIo},
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_fs_reads_bytes_total")
        .help("Bytes read from the block device. What the page cache had is not in it.")
        .source("v2 io.stat rbytes; v1 blkio.throttle.io_service_bytes_recursive Read")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |device, emit| emit.count(device.read_bytes))),
    Family::counter("container_fs_reads_total")
        .help("Read requests to the block device.")
        .source("v2 io.stat rios; v1 blkio.throttle.io_serviced_recursive Read")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |device, emit| emit.count(device.reads))),
    Family::counter("container_fs_writes_bytes_total")
        .help(
            "Bytes written to the block device. On cgroup v1, what the page cache wrote back later is \
               not in it.",
        )
        .source("v2 io.stat wbytes; v1 blkio.throttle.io_service_bytes_recursive Write")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |device, emit| emit.count(device.written_bytes))),
    Family::counter("container_fs_writes_total")
        .help("Write requests to the block device.")
        .source("v2 io.stat wios; v1 blkio.throttle.io_serviced_recursive Write")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |device, emit| emit.count(device.writes))),
    Family::counter("container_fs_io_cost_usage_seconds_total")
        .help(
            "Device time that the container's requests cost, by the kernel's model, in seconds. Only \
               where the device has an I/O cost controller.",
        )
        .source("v2 io.stat cost.usage")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_usage_us));
        }),
    Family::counter("container_fs_io_cost_wait_seconds_total")
        .help(
            "Time for which requests waited for their share of the device, in seconds. Only where the \
               device has an I/O cost controller.",
        )
        .source("v2 io.stat cost.wait")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_wait_us));
        }),
    Family::counter("container_fs_io_cost_indebt_seconds_total")
        .help(
            "Time for which the container owed device time that it took in advance, in seconds. Only \
               where the device has an I/O cost controller.",
        )
        .source("v2 io.stat cost.indebt")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_indebt_us));
        }),
    Family::counter("container_fs_io_cost_indelay_seconds_total")
        .help(
            "Time for which tasks were held back to pay off what was taken in advance, in seconds. Only \
               where the device has an I/O cost controller.",
        )
        .source("v2 io.stat cost.indelay")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_indelay_us));
        }),
];

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&DeviceIo, &mut Emit<'_>)) {
    for device in &row.cgroup.devices {
        read(device, &mut emit.with(&[&device.name]));
    }
}
