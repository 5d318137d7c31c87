//! Sockets by state: off unless configured.

use crate::exposition::{Base, Emit, Family, Kind::Gauge, Samples::Container};
use crate::snapshot::{
    ContainerRow,
    sockets::{Sockets, TCP_STATES, TcpSockets, UdpSockets},
};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_network_tcp_usage_total",
        help: "TCP sockets over IPv4 by state. Only with network.tcp_states = true.",
        samples: Container(|row, emit| tcp(row, emit, |sockets| sockets.tcp)),
        ..TCP
    },
    Family {
        name: "container_network_tcp6_usage_total",
        help: "TCP sockets over IPv6 by state. Only with network.tcp_states = true.",
        samples: Container(|row, emit| tcp(row, emit, |sockets| sockets.tcp6)),
        ..TCP
    },
    Family {
        name: "container_network_udp_usage_total",
        help: "UDP sockets over IPv4: those that listen, the datagrams that they dropped, bytes in their queues. \
               Only with network.udp_states = true.",
        samples: Container(|row, emit| udp(row, emit, |sockets| sockets.udp)),
        ..UDP
    },
    Family {
        name: "container_network_udp6_usage_total",
        help: "UDP sockets over IPv6, as container_network_udp_usage_total.",
        samples: Container(|row, emit| udp(row, emit, |sockets| sockets.udp6)),
        ..UDP
    },
];

/// What the families about TCP have in common.
const TCP: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "/proc/PID/net/tcp and tcp6, every 10 s; absent where the container shares a network namespace",
    base: Base::CAdvisor,
    labels: &["tcp_state"],
    samples: Container(|_, _| {}),
};

/// What the families about UDP have in common.
const UDP: Family = Family {
    source: "/proc/PID/net/udp and udp6, every 10 s; absent where the container shares a network namespace",
    labels: &["udp_state"],
    ..TCP
};

fn tcp(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&Sockets) -> Option<TcpSockets>) {
    let Some(TcpSockets(counts)) = row.sockets.as_deref().and_then(read) else { return };
    for (state, count) in TCP_STATES.into_iter().zip(counts) {
        emit.with(&[state]).count(count);
    }
}

fn udp(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&Sockets) -> Option<UdpSockets>) {
    let Some(sockets) = row.sockets.as_deref().and_then(read) else { return };
    emit.with(&["listen"]).count(sockets.listening);
    emit.with(&["dropped"]).count(sockets.dropped);
    emit.with(&["rxqueued"]).count(sockets.receive_queue_bytes);
    emit.with(&["txqueued"]).count(sockets.transmit_queue_bytes);
}
