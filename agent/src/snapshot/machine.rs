//! The host that the agent runs on.

/// Properties of the host. An unknown value is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// ID of the installation.
    pub machine_id: String,
    /// ID of the system board, from the firmware.
    pub system_uuid: String,
    /// ID of this boot.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Name of the operating system.
    pub os: String,
    /// Logical CPUs that are online.
    pub logical_cpus: Option<u64>,
    /// Cores that are online.
    pub cores: Option<u64>,
    /// Processor packages with online CPUs.
    pub sockets: Option<u64>,
    /// Usable memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap space, in bytes.
    pub swap_bytes: Option<u64>,
}
