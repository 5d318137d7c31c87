//! Sockets by state. Off by default.

use crate::{
    exposition::{
        family::{Draft, Family},
        sample::Emit,
    },
    snapshot::{
        ContainerRow,
        socket_states::{Sockets, TCP_STATES, TcpSockets, UdpSockets},
    },
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    tcp_sockets("container_network_tcp_usage_total")
        .help("TCP sockets over IPv4, by state. Only with network.tcp_states = true.")
        .cadvisor(|row, emit| tcp(row, emit, |sockets| sockets.tcp)),
    tcp_sockets("container_network_tcp6_usage_total")
        .help("TCP sockets over IPv6, by state. Only with network.tcp_states = true.")
        .cadvisor(|row, emit| tcp(row, emit, |sockets| sockets.tcp6)),
    udp_sockets("container_network_udp_usage_total")
        .help(
            "UDP sockets over IPv4, by state: listening sockets, dropped datagrams, bytes in the receive \
             and transmit queues. Only with network.udp_states = true.",
        )
        .cadvisor(|row, emit| udp(row, emit, |sockets| sockets.udp)),
    udp_sockets("container_network_udp6_usage_total")
        .help(
            "UDP sockets over IPv6, by state as in container_network_udp_usage_total. Only with \
             network.udp_states = true.",
        )
        .cadvisor(|row, emit| udp(row, emit, |sockets| sockets.udp6)),
];

const fn tcp_sockets(name: &'static str) -> Draft {
    Family::gauge(name)
        .source("/proc/PID/net/tcp and tcp6, every 10 s; absent if the container shares a network namespace")
        .labels(&["tcp_state"])
}

const fn udp_sockets(name: &'static str) -> Draft {
    Family::gauge(name)
        .source("/proc/PID/net/udp and udp6, every 10 s; absent if the container shares a network namespace")
        .labels(&["udp_state"])
}

fn tcp(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&Sockets) -> Option<TcpSockets>) {
    let Some(TcpSockets(counts)) = row.socket_states.as_deref().and_then(read) else { return };
    for (state, count) in TCP_STATES.into_iter().zip(counts) {
        emit.with(&[state]).count(count);
    }
}

fn udp(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&Sockets) -> Option<UdpSockets>) {
    let Some(sockets) = row.socket_states.as_deref().and_then(read) else { return };
    emit.with(&["listen"]).count(sockets.listening);
    emit.with(&["dropped"]).count(sockets.dropped);
    emit.with(&["rxqueued"]).count(sockets.receive_queue_bytes);
    emit.with(&["txqueued"]).count(sockets.transmit_queue_bytes);
}
