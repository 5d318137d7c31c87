//! How a container fares: what it is doing, how its last run ended, whether it is well.

use std::time::SystemTime;

/// What a container is doing, in Docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, and not started yet.
    Created,
    /// Its processes run.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It has ended, and the runtime is about to start it again.
    Restarting,
    /// It has ended.
    Exited,
    /// It has ended, and the runtime could not take it away.
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Running, Self::Paused, Self::Restarting, Self::Exited, Self::Dead];
    /// Those that are known of a container without a runtime.
    pub const OF_CGROUP: [Self; 2] = [Self::Running, Self::Exited];

    /// The value of the label `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    Unchecked,
    /// It has not passed or failed yet.
    Starting,
    /// It passed.
    Healthy,
    /// It failed too often.
    Unhealthy,
}

impl Health {
    /// The answers that a health check gives.
    pub const CHECKED: [Self; 3] = [Self::Starting, Self::Healthy, Self::Unhealthy];

    /// The value of the label `status`; Docker's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchecked => "none",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// With code 0.
    Completed,
    /// With another code.
    Error,
    /// The kernel killed it because memory ran out.
    OomKilled,
    /// By this signal.
    Signal(&'static str),
}

impl ExitReason {
    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Error => "error",
            Self::OomKilled => "oom_killed",
            Self::Signal(name) => name,
        }
    }
}

/// The end of a container's last run. It may run again since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// When that was.
    pub at: SystemTime,
    /// Its main process' exit code, as runtimes give it: 128 and the number of the signal where one ended it.
    pub code: Option<u32>,
    /// Why, as far as known.
    pub reason: Option<ExitReason>,
}

/// What is known of a container's life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// What it is doing; `None` before anything was asked.
    pub state: Option<State>,
    /// True where a runtime tells the state, so that it may be any; else its cgroup is there or is not.
    pub told: bool,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// How often it was started again.
    pub restarts: Option<u64>,
    /// How its last run ended, as long as that is recent.
    pub last_exit: Option<LastExit>,
    /// What its health check says; `None` where it is not known whether there is one.
    pub health: Option<Health>,
}
