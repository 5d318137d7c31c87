//! Sockets of a container's own network namespace, by protocol and state.

/// TCP's states by the names that cAdvisor gives them, at the numbers that the kernel gives them, less 1.
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

/// What was counted in one pass over the kernel's tables. A protocol that is not counted, or that the kernel has not, is
/// `None`.
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
    /// Sockets that are bound and connected to nobody.
    pub listening: u64,
    /// Datagrams that were dropped for want of room, by the sockets that are open now.
    pub dropped: u64,
    /// Bytes that wait to be read.
    pub receive_queue_bytes: u64,
    /// Bytes that wait to be sent.
    pub transmit_queue_bytes: u64,
}
