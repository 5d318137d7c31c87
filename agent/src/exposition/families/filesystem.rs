//! Block I/O by device. For disk usage see [`disk`](super::disk).

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, cgroup::DeviceIo},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_fs_reads_bytes_total")
        .help("Bytes read from the block device. Reads served from page cache are not included.")
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
            "Bytes written to the block device. On cgroup v1, later writeback from page cache is not \
             included.",
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
            "Device time consumed by the container according to the kernel's I/O cost model, in seconds. \
             Only if the device has an I/O cost controller.",
        )
        .source("v2 io.stat cost.usage")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_usage_us));
        }),
    Family::counter("container_fs_io_cost_wait_seconds_total")
        .help(
            "Time requests waited for their share of the device, in seconds. Only if the device has an I/O \
             cost controller.",
        )
        .source("v2 io.stat cost.wait")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_wait_us));
        }),
    Family::counter("container_fs_io_cost_indebt_seconds_total")
        .help(
            "Time the container was in debt for device time used in advance, in seconds. Only if the device \
             has an I/O cost controller.",
        )
        .source("v2 io.stat cost.indebt")
        .labels(&["device"])
        .cadvisor(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_indebt_us));
        }),
    Family::counter("container_fs_io_cost_indelay_seconds_total")
        .help(
            "Time tasks were delayed to pay off device time used in advance, in seconds. Only if the device \
             has an I/O cost controller.",
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
