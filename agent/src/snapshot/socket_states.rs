//! Sockets of a container's own network namespace, by protocol and state.

/// The names of the TCP states in cAdvisor. The index is the kernel's number of the state minus 1.
/// <https://github.com/torvalds/linux/blob/v6.12/include/net/tcp_states.h>
pub const TCP_STATES: [&str; 11] = [
    "established",
    "synsent",
    "synrecv",
    "finwait1",
    "finwait2",
    "timewait",
    "close",
    "closewait",
    "lastack",
    "listen",
    "closing",
];

/// The counts of one pass over the kernel's tables. A protocol is `None` if it is not counted or the kernel lacks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// TCP over IPv4.
    pub tcp: Option<TcpSockets>,
    /// TCP over IPv6.
    pub tcp6: Option<TcpSockets>,
    /// UDP over IPv4.
    pub udp: Option<UdpSockets>,
    /// UDP over IPv6.
    pub udp6: Option<UdpSockets>,
}

/// TCP sockets by state, in the order of [`TCP_STATES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSockets(pub [u64; TCP_STATES.len()]);

/// UDP sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpSockets {
    /// Sockets that are bound and not connected.
    pub listening: u64,
    /// Datagrams dropped because a receive buffer was full, by sockets that are open now.
    pub dropped: u64,
    /// Bytes waiting to be read.
    pub receive_queue_bytes: u64,
    /// Bytes waiting to be sent.
    pub transmit_queue_bytes: u64,
}
