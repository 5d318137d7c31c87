//! Xid errors, counted by the kernel programs.

/// The errors of one GPU, as the driver reported them to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedXids {
    /// Domain, bus, device and function as the kernel writes them: `0000:01:00.0`.
    pub pci_bus_id: String,
    /// Errors since the agent started, by number.
    pub counts: Vec<(u64, u64)>,
    /// The last error's number.
    pub last: Option<u64>,
}
