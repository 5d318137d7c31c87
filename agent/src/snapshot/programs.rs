//! Processes of a container that run listed programs, such as ffmpeg.

use std::sync::Arc;

pub use glassbox_ebpf::container_programs::{ProgramCounters, result};

/// Values of the label `result`, in the order of [`ProgramCounters::exits`].
pub const RESULTS: [&str; result::COUNT] = ["success", "error", "signal", "replaced"];

/// One program that the container has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramUsage {
    /// Its name.
    pub name: Arc<str>,
    /// Processes that run it now.
    pub running: u64,
    /// Processes that started and ended.
    pub counters: ProgramCounters,
}
