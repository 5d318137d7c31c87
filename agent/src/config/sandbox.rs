//! `[sandbox]`: what the agent gives up at start.

use serde::{Deserialize, Serialize};

/// `[sandbox]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Whether capabilities that this configuration does not use are dropped.
    pub capabilities: bool,
    /// Whether system calls that the agent does not use are denied.
    pub seccomp: bool,
    /// Whether the threads of the HTTP server are denied access to files, processes and other hosts.
    pub landlock: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { capabilities: true, seccomp: true, landlock: true }
    }
}
