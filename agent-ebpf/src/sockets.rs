//! Counters of the socket programs, per container slot.

use crate::{
    counters::{PerSlot, SlotKey, counters},
    histogram::Histogram,
};

/// Maximum number of listening ports that are kept for one container.
pub const PORTS_MAX: u64 = 64;
/// Maximum number of listening ports of all containers.
pub const LISTENERS: u32 = 4096;

/// Transport protocols that are counted separately, as indices of the arrays in [`SocketCounters`].
pub mod protocol {
    /// TCP.
    pub const TCP: usize = 0;
    /// UDP.
    pub const UDP: usize = 1;
    /// Everything else, such as ICMP, and packets without a readable header.
    pub const OTHER: usize = 2;
    /// The number of protocols.
    pub const COUNT: usize = 3;
}

counters! {
    /// IP traffic of the sockets of one container, by [`protocol`], on one CPU or summed over CPUs, since its slot was
    /// cleared. Bytes include IP headers; packets are counted as the kernel handles them, so a large transfer has fewer
    /// packets than on the wire.
    pub struct SocketCounters {
        /// Bytes received.
        pub receive_bytes: [u64; protocol::COUNT],
        /// Packets received.
        pub receive_packets: [u64; protocol::COUNT],
        /// Bytes sent.
        pub transmit_bytes: [u64; protocol::COUNT],
        /// Packets sent.
        pub transmit_packets: [u64; protocol::COUNT],
    }
    /// TCP connections and rare events of the sockets of one container, since its slot was cleared.
    pub struct ConnectionCounters {
        /// Connections accepted: passive opens.
        pub accepted: u64,
        /// Connections opened: active opens that were established.
        pub opened: u64,
        /// Active opens that failed or were given up.
        pub failed: u64,
        /// Established connections that were closed.
        pub closed: u64,
        /// Segments sent again.
        pub retransmitted_segments: u64,
        /// Resets received for an existing connection or attempt.
        pub resets_received: u64,
        /// Resets sent.
        pub resets_sent: u64,
        /// Connection attempts that were dropped because the accept queue was full.
        pub accept_overflows: u64,
        /// Received datagrams that were dropped, mostly because the receive buffer was full.
        pub udp_drops: u64,
        /// Ports that were entered in the map of listening ports.
        pub ports_entered: u64,
        /// Ports that were removed from it.
        pub ports_removed: u64,
        /// Smoothed round-trip times of connections: when a connection is closed, and at some packets of long ones.
        pub round_trips: Histogram,
    }

    /// Bytes that processes of one container transferred through unix sockets, on one CPU or summed over CPUs.
    pub struct UnixCounters {
        /// Bytes read.
        pub receive_bytes: u64,
        /// Bytes written.
        pub transmit_bytes: u64,
    }
}

/// The fullest accept queue that connection attempts have found. The programs write it without locks, so another
/// attempt at the same time may be missed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that waited to be accepted.
    pub length: u32,
    /// The limit of that queue.
    pub limit: u32,
}

impl PerSlot for AcceptQueue {
    const EMPTY: Self = Self { length: 0, limit: 0 };
}

/// A port on which sockets of a container listen.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerKey {
    /// The container's slot.
    pub slot: u32,
    /// The port.
    pub port: u32,
}

impl SlotKey for ListenerKey {
    fn slot(&self) -> u32 {
        self.slot
    }
}

// SAFETY: `repr(C)`, two u32, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for AcceptQueue {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ListenerKey {}
