//! What is wrong with a container.

use std::time::Duration;

/// A reason to look at a container, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Problem {
    /// Calls to the NVIDIA driver are under way and none has begun or ended for so long.
    StuckInDriver {
        /// Time since a call last began or ended; `None` if that is not known.
        since: Option<Duration>,
    },
    /// Its health check fails.
    Unhealthy,
    /// The kernel killed a process of it lately because memory ran out.
    OomKilled {
        /// All such kills, if they are counted.
        kills: Option<u64>,
        /// Time since the last one.
        ago: Duration,
    },
    /// It is started again and again.
    CrashLooping {
        /// Restarts within [`CRASH_WINDOW`](crate::analysis::problems::CRASH_WINDOW).
        restarts: u64,
        /// The exit code of its last run.
        code: Option<u32>,
    },
    /// It often used up its CPU quota within the last minute.
    Throttled {
        /// Share of the periods in which it did, 0 to 1.
        ratio: f64,
    },
}

impl Problem {
    /// Its place in the order of severity; 0 is the most severe.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::StuckInDriver { .. } => 0,
            Self::Unhealthy => 1,
            Self::OomKilled { .. } => 2,
            Self::CrashLooping { .. } => 3,
            Self::Throttled { .. } => 4,
        }
    }
}
