//! Interfaces of a container's own network namespace, and traffic of a container on the host network.

pub use glassbox_ebpf::host_network::HostNetworkCounters;

/// Counters of one interface since it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Its name inside the container.
    pub interface: String,
    /// Bytes received.
    pub receive_bytes: u64,
    /// Packets received.
    pub receive_packets: u64,
    /// Packets dropped on receive.
    pub receive_dropped: u64,
    /// Errors on receive.
    pub receive_errors: u64,
    /// Bytes sent.
    pub transmit_bytes: u64,
    /// Packets sent.
    pub transmit_packets: u64,
    /// Packets dropped on transmit.
    pub transmit_dropped: u64,
    /// Errors on transmit.
    pub transmit_errors: u64,
}
