//! Sockets by state: off unless configured.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{
        ContainerRow,
        sockets::{Sockets, TCP_STATES, TcpSockets, UdpSockets},
    },
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_network_tcp_usage_total")
        .help("TCP sockets over IPv4 by state. Only with network.tcp_states = true.")
        .source(
            "/proc/PID/net/tcp and tcp6, every 10 s; absent where the container shares a network \
                 namespace",
        )
        .labels(&["tcp_state"])
        .cadvisor(|row, emit| tcp(row, emit, |sockets| sockets.tcp)),
    Family::gauge("container_network_tcp6_usage_total")
        .help("TCP sockets over IPv6 by state. Only with network.tcp_states = true.")
        .source(
            "/proc/PID/net/tcp and tcp6, every 10 s; absent where the container shares a network \
                 namespace",
        )
        .labels(&["tcp_state"])
        .cadvisor(|row, emit| tcp(row, emit, |sockets| sockets.tcp6)),
    Family::gauge("container_network_udp_usage_total")
        .help(
            "UDP sockets over IPv4: those that listen, the datagrams that they dropped, bytes in their \
               queues. Only with network.udp_states = true.",
        )
        .source(
            "/proc/PID/net/udp and udp6, every 10 s; absent where the container shares a network \
                 namespace",
        )
        .labels(&["udp_state"])
        .cadvisor(|row, emit| udp(row, emit, |sockets| sockets.udp)),
    Family::gauge("container_network_udp6_usage_total")
        .help("UDP sockets over IPv6, as container_network_udp_usage_total.")
        .source(
            "/proc/PID/net/udp and udp6, every 10 s; absent where the container shares a network \
                 namespace",
        )
        .labels(&["udp_state"])
        .cadvisor(|row, emit| udp(row, emit, |sockets| sockets.udp6)),
];

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
