//! Counters of the socket programs, per container slot.

use crate::counters::counters;

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
}
