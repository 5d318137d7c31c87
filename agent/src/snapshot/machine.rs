//! The host that the agent runs on.

/// What the host is, and what it has. Empty or `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The installation's id.
    pub machine_id: String,
    /// The board's id, which the firmware gives.
    pub system_uuid: String,
    /// An id of this boot.
    pub boot_id: String,
    /// The release of the kernel.
    pub kernel: String,
    /// The operating system's name for people.
    pub os: String,
    /// Logical CPUs that are online.
    pub logical_cpus: Option<u64>,
    /// Cores that are online.
    pub cores: Option<u64>,
    /// Processor packages with CPUs that are online.
    pub sockets: Option<u64>,
    /// Memory that the kernel has for all, in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap space, in bytes.
    pub swap_bytes: Option<u64>,
}
