//! Interfaces of a container's own network namespace, and traffic of one that shares the host's.

pub use glassbox_ebpf::host_network::HostNetworkCounters;

/// One interface, since it was made.
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
    /// Packets dropped on sending.
    pub transmit_dropped: u64,
    /// Errors on sending.
    pub transmit_errors: u64,
}
