//! Counters of the host network programs, per container slot and CPU.

use crate::counters::counters;

counters! {
    /// IP traffic of one container's sockets in the host's network, on one CPU or summed over CPUs, since its slot was
    /// cleared. Bytes include IP headers; packets are counted as the kernel handles them, so a large transfer has fewer
    /// packets than on the wire.
    pub struct HostNetworkCounters {
        /// Bytes received.
        pub receive_bytes: u64,
        /// Packets received.
        pub receive_packets: u64,
        /// Bytes sent.
        pub transmit_bytes: u64,
        /// Packets sent.
        pub transmit_packets: u64,
    }
}
