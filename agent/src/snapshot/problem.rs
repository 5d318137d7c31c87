//! Problems of a container.

use std::time::Duration;

use super::health::StuckReason;

/// A problem that needs attention, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Problem {
    /// Calls to the NVIDIA driver are in flight, and none has started or ended for a long time.
    StuckInDriver {
        /// Time since a call last started or ended; `None` if it is unknown.
        since: Option<Duration>,
    },
    /// Work is in flight, and makes no progress.
    Stuck {
        /// What blocks it.
        reason: StuckReason,
        /// Time since the last progress.
        since: Duration,
    },
    /// Its health check fails.
    Unhealthy,
    /// The OOM killer recently killed one of its processes.
    OomKilled {
        /// Total number of OOM kills, if they are counted.
        kills: Option<u64>,
        /// Time since the last one.
        ago: Duration,
    },
    /// It restarts repeatedly.
    CrashLooping {
        /// Restarts within [`CRASH_WINDOW`](crate::analysis::problems::CRASH_WINDOW).
        restarts: u64,
        /// The exit code of its last run.
        code: Option<u32>,
    },
    /// It used up its CPU quota in many periods of the last minute.
    Throttled {
        /// Share of these periods, 0 to 1.
        ratio: f64,
    },
}

impl Problem {
    /// Its name in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StuckInDriver { .. } => "stuck_in_driver",
            Self::Stuck { .. } => "stuck",
            Self::Unhealthy => "unhealthy",
            Self::OomKilled { .. } => "oom_killed",
            Self::CrashLooping { .. } => "crash_looping",
            Self::Throttled { .. } => "throttled",
        }
    }

    /// Rank by severity; 0 is the most severe.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::StuckInDriver { .. } => 0,
            Self::Stuck { .. } => 1,
            Self::Unhealthy => 2,
            Self::OomKilled { .. } => 3,
            Self::CrashLooping { .. } => 4,
            Self::Throttled { .. } => 5,
        }
    }
}
