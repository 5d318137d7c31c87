//! Interface counters.

use super::{Base, Emit, Family, Kind::Counter, Samples::Container};
use crate::snapshot::{ContainerRow, network::InterfaceCounters};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_network_receive_bytes_total",
        help: "Bytes received.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.receive_bytes)),
        ..INTERFACE
    },
    Family {
        name: "container_network_receive_packets_total",
        help: "Packets received.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.receive_packets)),
        ..INTERFACE
    },
    Family {
        name: "container_network_receive_packets_dropped_total",
        help: "Packets dropped while receiving.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.receive_dropped)),
        ..INTERFACE
    },
    Family {
        name: "container_network_receive_errors_total",
        help: "Errors while receiving.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.receive_errors)),
        ..INTERFACE
    },
    Family {
        name: "container_network_transmit_bytes_total",
        help: "Bytes sent.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.transmit_bytes)),
        ..INTERFACE
    },
    Family {
        name: "container_network_transmit_packets_total",
        help: "Packets sent.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.transmit_packets)),
        ..INTERFACE
    },
    Family {
        name: "container_network_transmit_packets_dropped_total",
        help: "Packets dropped while sending.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.transmit_dropped)),
        ..INTERFACE
    },
    Family {
        name: "container_network_transmit_errors_total",
        help: "Errors while sending.",
        samples: Container(|row, emit| each(row, emit, |counters| counters.transmit_errors)),
        ..INTERFACE
    },
];

/// What the families here have in common.
const INTERFACE: Family = Family {
    name: "",
    kind: Counter,
    help: "",
    source: "/proc/PID/net/dev; absent where the container shares a network namespace",
    base: Base::CAdvisor,
    labels: &["interface"],
    samples: Container(|_, _| {}),
};

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&InterfaceCounters) -> u64) {
    for counters in &row.network {
        emit.with(&[&counters.interface]).count(read(counters));
    }
}
