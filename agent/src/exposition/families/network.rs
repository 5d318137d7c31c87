//! Interface counters, and the traffic of containers that have no interfaces of their own.

use crate::exposition::{Base, Emit, Family, Kind::Counter, Samples::Container};
use crate::snapshot::{
    ContainerRow,
    network::{HostNetworkCounters, InterfaceCounters},
};

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
    Family {
        name: "glassbox_container_host_network_receive_bytes_total",
        help: "IP bytes that sockets of a container in the host's network received, headers included.",
        samples: Container(|row, emit| in_host(row, emit, |counted| counted.receive_bytes)),
        ..HOST_NETWORK
    },
    Family {
        name: "glassbox_container_host_network_receive_packets_total",
        help: "IP packets that sockets of a container in the host's network received, as the kernel handles them: a large transfer has fewer than the wire.",
        samples: Container(|row, emit| in_host(row, emit, |counted| counted.receive_packets)),
        ..HOST_NETWORK
    },
    Family {
        name: "glassbox_container_host_network_transmit_bytes_total",
        help: "IP bytes that sockets of a container in the host's network sent, headers included.",
        samples: Container(|row, emit| in_host(row, emit, |counted| counted.transmit_bytes)),
        ..HOST_NETWORK
    },
    Family {
        name: "glassbox_container_host_network_transmit_packets_total",
        help: "IP packets that sockets of a container in the host's network sent, as the kernel handles them: a large transfer has fewer than the wire.",
        samples: Container(|row, emit| in_host(row, emit, |counted| counted.transmit_packets)),
        ..HOST_NETWORK
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

/// What the families about the host's network have in common.
const HOST_NETWORK: Family = Family {
    name: "",
    kind: Counter,
    help: "",
    source: "program on the container's cgroup, from when it is first seen in the host's network; loopback included",
    base: Base::Container,
    labels: &[],
    samples: Container(|_, _| {}),
};

fn in_host(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&HostNetworkCounters) -> u64) {
    emit.count(row.host_network.as_ref().map(read));
}

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&InterfaceCounters) -> u64) {
    for counters in &row.network {
        emit.with(&[&counters.interface]).count(read(counters));
    }
}
