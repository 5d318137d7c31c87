//! What the agent is permitted to do, and what restricts it.

/// Capabilities and restrictions of the agent's process.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// The capabilities that the configuration uses.
    pub capabilities: Vec<CapabilityStatus>,
    /// The restrictions: whether each one is in force.
    pub mechanisms: Vec<(&'static str, bool)>,
}

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilityStatus {
    /// Its name, for example `CAP_BPF`.
    pub name: &'static str,
    /// False if the agent uses it only if it happens to have it.
    pub is_required: bool,
    /// Whether the agent has it.
    pub is_held: bool,
}
