//! Whether a container makes progress with its work.

use std::time::Duration;

/// Whether it makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkHealth {
    /// No work is in flight.
    Idle,
    /// Work is in flight, and makes progress, is recent or waits for its client.
    Working,
    /// Work waits for the server, and has made no progress for a long time.
    Stuck {
        /// What blocks it.
        reason: StuckReason,
        /// Time since the last progress.
        since: Duration,
    },
}

impl WorkHealth {
    /// The values of the label `state`.
    pub const STATES: [&str; 3] = ["idle", "working", "stuck"];

    /// The value of the label `state`.
    #[must_use]
    pub const fn state(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Stuck { .. } => "stuck",
        }
    }

    /// The reason if it is stuck.
    #[must_use]
    pub const fn reason(self) -> Option<StuckReason> {
        match self {
            Self::Stuck { reason, .. } => Some(reason),
            Self::Idle | Self::Working => None,
        }
    }
}

/// What blocks the work of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckReason {
    /// All its threads are stopped or frozen.
    Stopped,
    /// A call to the NVIDIA driver does not return.
    NvidiaDriver,
    /// A thread waits for a disk or another file.
    Disk,
    /// It uses a CPU without producing output.
    BusyLoop,
    /// A thread waits for a socket.
    Network,
    /// A thread waits for a lock or for another thread.
    Lock,
    /// Connections wait to be accepted, and their number grows.
    AcceptQueue,
    /// Its threads are not visible, or wait for something else.
    Unknown,
}

impl StuckReason {
    /// The value of the label `reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::NvidiaDriver => "nvidia_driver",
            Self::Disk => "disk",
            Self::BusyLoop => "busy_loop",
            Self::Network => "network",
            Self::Lock => "lock",
            Self::AcceptQueue => "accept_queue",
            Self::Unknown => "unknown",
        }
    }

    /// In words, after "stuck".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Stopped => "all threads are stopped",
            Self::NvidiaDriver => "blocked in the NVIDIA driver",
            Self::Disk => "blocked on disk",
            Self::BusyLoop => "busy loop, CPU time without output",
            Self::Network => "blocked on the network",
            Self::Lock => "blocked on a lock",
            Self::AcceptQueue => "connections are not accepted",
            Self::Unknown => "cause unknown",
        }
    }
}
