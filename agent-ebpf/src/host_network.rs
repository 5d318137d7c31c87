//! What the host network programs count, per container slot and CPU.

/// The IP traffic of one container's sockets on one CPU since its slot was cleared.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostNetworkSlot {
    /// Bytes that its sockets received, IP headers included.
    pub receive_bytes: u64,
    /// Packets that its sockets received.
    pub receive_packets: u64,
    /// Bytes that its sockets sent, IP headers included.
    pub transmit_bytes: u64,
    /// Packets that its sockets sent.
    pub transmit_packets: u64,
}

// SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for HostNetworkSlot {}
