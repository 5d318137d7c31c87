//! Traffic and TCP connections of containers' sockets. Counters of what rarely happens have no series while they are 0.

use crate::{
    exposition::{
        family::{Draft, Family},
        sample::{Emit, Resolution},
    },
    snapshot::{
        ContainerRow,
        sockets::{ConnectionCounters, PROTOCOLS, SocketCounters, SocketUsage, UnixCounters, protocol},
    },
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    traffic("glassbox_container_socket_receive_bytes_total")
        .help("IP bytes received by the container's sockets on any network, including headers and loopback.")
        .container(|row, emit| by_protocol(row, emit, |traffic| &traffic.receive_bytes)),
    traffic("glassbox_container_socket_receive_packets_total")
        .help(
            "IP packets received by the container's sockets, as handled by the kernel: large transfers have \
             fewer packets than on the wire.",
        )
        .container(|row, emit| by_protocol(row, emit, |traffic| &traffic.receive_packets)),
    traffic("glassbox_container_socket_transmit_bytes_total")
        .help("IP bytes sent by the container's sockets on any network, including headers and loopback.")
        .container(|row, emit| by_protocol(row, emit, |traffic| &traffic.transmit_bytes)),
    traffic("glassbox_container_socket_transmit_packets_total")
        .help(
            "IP packets sent by the container's sockets, as handled by the kernel: large transfers have \
             fewer packets than on the wire.",
        )
        .container(|row, emit| by_protocol(row, emit, |traffic| &traffic.transmit_packets)),
    Family::gauge("glassbox_container_socket_connections")
        .help(
            "Open TCP connections. A connection within the container counts twice. For a container that is \
             older than the agent, connection attempts are included.",
        )
        .source(
            "sock_ops program; if the container is older than the agent, /proc/PID/net/sockstat, and absent \
             if it shares a network namespace",
        )
        .container(|row, emit| emit.count(row.sockets.as_deref().and_then(|sockets| sockets.open))),
    connections("glassbox_container_socket_connections_accepted_total")
        .help("TCP connections accepted: handshakes completed with a listening socket of the container.")
        .container(|row, emit| emit.count(row.sockets.as_deref().map(|sockets| sockets.connections.accepted))),
    connections("glassbox_container_socket_connections_opened_total")
        .help("TCP connections that the container opened successfully.")
        .container(|row, emit| emit.count(row.sockets.as_deref().map(|sockets| sockets.connections.opened))),
    connections("glassbox_container_socket_connections_closed_total")
        .help("Established TCP connections of the container that were closed.")
        .container(|row, emit| emit.count(row.sockets.as_deref().map(|sockets| sockets.connections.closed))),
    connections("glassbox_container_socket_connections_failed_total")
        .help("TCP connection attempts of the container that failed or were given up. No series while 0.")
        .container(|row, emit| emit.count(nonzero(row, |counts| counts.failed))),
    Family::histogram("glassbox_container_socket_round_trip_seconds")
        .help(
            "Smoothed round-trip time of TCP connections, in seconds: a sample at the end of each \
             connection, and one per 256 packets sent.",
        )
        .source("sock_ops and cgroup_skb programs, srtt_us of the kernel; no series without a sample")
        .container(|row, emit| {
            let times = row.sockets.as_deref().map(|sockets| &sockets.connections.round_trips);
            if let Some(times) = times.filter(|times| times.count() > 0) {
                emit.histogram(times, Resolution::Coarse);
            }
        }),
    Family::counter("glassbox_container_socket_retransmitted_segments_total")
        .help("TCP segments sent again, including SYN.")
        .source("sock_ops program; connections opened or accepted after it was attached")
        .container(|row, emit| {
            emit.count(row.sockets.as_deref().map(|sockets| sockets.connections.retransmitted_segments));
        }),
    Family::counter("glassbox_container_socket_resets_total")
        .help("TCP resets sent by the container's sockets, or received and accepted by them. No series while 0.")
        .source("tracepoints tcp_send_reset and tcp_receive_reset")
        .labels(&["direction"])
        .container(|row, emit| {
            let Some(sockets) = row.sockets.as_deref().filter(|sockets| sockets.has_resets) else { return };
            let counts = &sockets.connections;
            for (direction, count) in [("received", counts.resets_received), ("sent", counts.resets_sent)] {
                emit.with(&[direction]).count((count > 0).then_some(count));
            }
        }),
    queue("glassbox_container_socket_accept_queue_length")
        .help(
            "Length of the fullest accept queue that connection attempts have found in the last minute, in \
             connections.",
        )
        .container(|row, emit| emit.count(accept_queue(row).map(|(length, _)| length))),
    queue("glassbox_container_socket_accept_queue_limit")
        .help(
            "Limit of the accept queue of glassbox_container_socket_accept_queue_length, in connections: the \
             backlog of listen(2), at most net.core.somaxconn.",
        )
        .container(|row, emit| emit.count(accept_queue(row).map(|(_, limit)| limit))),
    Family::counter("glassbox_container_socket_accept_queue_overflows_total")
        .help("SYN and handshake packets dropped because the accept queue was full. No series while 0.")
        .source("cgroup_skb program")
        .container(|row, emit| emit.count(nonzero(row, |counts| counts.accept_overflows))),
    Family::counter("glassbox_container_socket_udp_dropped_total")
        .help(
            "Datagrams dropped because a receive buffer of the container, or the memory for UDP, was full. No \
             series while 0.",
        )
        .source("tracepoint udp_fail_queue_rcv_skb; before Linux 6.10 without those received over IPv6")
        .container(|row, emit| {
            if row.sockets.as_deref().is_some_and(|sockets| sockets.has_drops) {
                emit.count(nonzero(row, |counts| counts.udp_drops));
            }
        }),
    unix("glassbox_container_socket_unix_receive_bytes_total")
        .help("Bytes that the container read from unix sockets. Only with sockets.unix = true.")
        .container(|row, emit| emit.count(of_unix(row).map(|counts| counts.receive_bytes))),
    unix("glassbox_container_socket_unix_transmit_bytes_total")
        .help("Bytes that the container wrote to unix sockets. Only with sockets.unix = true.")
        .container(|row, emit| emit.count(of_unix(row).map(|counts| counts.transmit_bytes))),
];

const fn traffic(name: &'static str) -> Draft {
    Family::counter(name)
        .source("cgroup_skb programs on the container's cgroup; udp and other have no series while 0")
        .labels(&["protocol"])
}

const fn connections(name: &'static str) -> Draft {
    Family::counter(name).source("sock_ops program on the container's cgroup")
}

const fn queue(name: &'static str) -> Draft {
    Family::gauge(name)
        .source("cgroup_skb program, at each SYN and handshake packet; absent without connection attempts")
}

const fn unix(name: &'static str) -> Draft {
    Family::counter(name).source("tracepoints sock_send_length and sock_recv_length (Linux 6.3)")
}

fn by_protocol(
    row: &ContainerRow,
    emit: &mut Emit<'_>,
    read: fn(&SocketCounters) -> &[u64; protocol::COUNT],
) {
    let Some(sockets) = row.sockets.as_deref() else { return };
    for (index, (name, count)) in PROTOCOLS.into_iter().zip(read(&sockets.traffic)).enumerate() {
        if *count > 0 || index == protocol::TCP {
            emit.with(&[name]).count(*count);
        }
    }
}

/// A counter of the row; `None` while it is 0.
fn nonzero(row: &ContainerRow, read: fn(&ConnectionCounters) -> u64) -> Option<u64> {
    row.sockets.as_deref().map(|sockets| read(&sockets.connections)).filter(|count| *count > 0)
}

/// The length and the limit of the fullest accept queue.
fn accept_queue(row: &ContainerRow) -> Option<(u64, u64)> {
    let SocketUsage { accept_queue, .. } = row.sockets.as_deref()?;
    accept_queue.map(|queue| (u64::from(queue.length), u64::from(queue.limit)))
}

fn of_unix(row: &ContainerRow) -> Option<UnixCounters> {
    row.sockets.as_deref()?.unix
}
