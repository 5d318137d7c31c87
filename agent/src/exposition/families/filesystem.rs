//! Block I/O, by device. How full a container's filesystem is: [`disk`](super::disk).

use crate::exposition::{Base, Emit, Family, Kind::Counter, Samples::Container};
use crate::snapshot::{ContainerRow, cgroup::DeviceIo};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_fs_reads_bytes_total",
        help: "Bytes read from the block device. What the page cache had is not in it.",
        source: "v2 io.stat rbytes; v1 blkio.throttle.io_service_bytes_recursive Read",
        samples: Container(|row, emit| each(row, emit, |device, emit| emit.count(device.read_bytes))),
        ..DEVICE
    },
    Family {
        name: "container_fs_reads_total",
        help: "Read requests to the block device.",
        source: "v2 io.stat rios; v1 blkio.throttle.io_serviced_recursive Read",
        samples: Container(|row, emit| each(row, emit, |device, emit| emit.count(device.reads))),
        ..DEVICE
    },
    Family {
        name: "container_fs_writes_bytes_total",
        help: "Bytes written to the block device. On cgroup v1, what the page cache wrote back later is not in it.",
        source: "v2 io.stat wbytes; v1 blkio.throttle.io_service_bytes_recursive Write",
        samples: Container(|row, emit| each(row, emit, |device, emit| emit.count(device.written_bytes))),
        ..DEVICE
    },
    Family {
        name: "container_fs_writes_total",
        help: "Write requests to the block device.",
        source: "v2 io.stat wios; v1 blkio.throttle.io_serviced_recursive Write",
        samples: Container(|row, emit| each(row, emit, |device, emit| emit.count(device.writes))),
        ..DEVICE
    },
    Family {
        name: "container_fs_io_cost_usage_seconds_total",
        help: "Device time that the container's requests cost, by the kernel's model, in seconds. Only where the \
               device has an I/O cost controller.",
        source: "v2 io.stat cost.usage",
        samples: Container(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_usage_us));
        }),
        ..DEVICE
    },
    Family {
        name: "container_fs_io_cost_wait_seconds_total",
        help: "Time for which requests waited for their share of the device, in seconds. Only where the device has an \
               I/O cost controller.",
        source: "v2 io.stat cost.wait",
        samples: Container(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_wait_us));
        }),
        ..DEVICE
    },
    Family {
        name: "container_fs_io_cost_indebt_seconds_total",
        help: "Time for which the container owed device time that it took in advance, in seconds. Only where the \
               device has an I/O cost controller.",
        source: "v2 io.stat cost.indebt",
        samples: Container(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_indebt_us));
        }),
        ..DEVICE
    },
    Family {
        name: "container_fs_io_cost_indelay_seconds_total",
        help: "Time for which tasks were held back to pay off what was taken in advance, in seconds. Only where the \
               device has an I/O cost controller.",
        source: "v2 io.stat cost.indelay",
        samples: Container(|row, emit| {
            each(row, emit, |device, emit| emit.microseconds(device.cost_indelay_us));
        }),
        ..DEVICE
    },
];

/// What the families here have in common.
const DEVICE: Family = Family {
    name: "",
    kind: Counter,
    help: "",
    source: "",
    base: Base::CAdvisor,
    labels: &["device"],
    samples: Container(|_, _| {}),
};

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&DeviceIo, &mut Emit<'_>)) {
    for device in &row.cgroup.devices {
        read(device, &mut emit.with(&[&device.name]));
    }
}
