//! The status of a container: its state, the exit of its last run, its health.

use std::time::SystemTime;

/// The state of a container, in Docker's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Created and not started yet.
    Created,
    /// Its processes are running.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It has exited, and the runtime is about to restart it.
    Restarting,
    /// It has exited.
    Exited,
    /// It has exited, and the runtime could not remove it.
    Dead,
}

impl ContainerState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Running, Self::Paused, Self::Restarting, Self::Exited, Self::Dead];
    /// The states that the cgroup alone reveals, if no runtime reports one.
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

/// The result of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The container has no health check.
    Unchecked,
    /// The health check has neither passed nor failed yet.
    Starting,
    /// The health check passed.
    Healthy,
    /// The health check failed too many times in a row.
    Unhealthy,
}

impl Health {
    /// The results that a health check can have.
    pub const CHECKED: [Self; 3] = [Self::Starting, Self::Healthy, Self::Unhealthy];

    /// The value of the label `status`, in Docker's terms.
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

/// Why a container exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Exit code 0.
    Completed,
    /// Another exit code.
    Error,
    /// The OOM killer killed it.
    OomKilled,
    /// The driver had refused GPU memory to it.
    GpuMemory,
    /// Its GPU had reported an error that ends applications.
    GpuFault,
    /// This signal terminated it.
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
            Self::GpuMemory => "gpu_memory",
            Self::GpuFault => "gpu_fault",
            Self::Signal(name) => name,
        }
    }
}

/// The exit of a container's last run. The container may be running again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// Time of the exit.
    pub at: SystemTime,
    /// Exit code of the main process as runtimes report it: 128 plus the signal number if a signal terminated it.
    pub code: Option<u32>,
    /// The reason, if it is known.
    pub reason: Option<ExitReason>,
}

/// The status of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its state; `None` before the first query.
    pub state: Option<ContainerState>,
    /// True if a runtime reports the state. Otherwise the state only reflects whether the cgroup exists, see
    /// [`ContainerState::OF_CGROUP`].
    pub reported: bool,
    /// When it was created.
    pub created_at: Option<SystemTime>,
    /// Number of restarts.
    pub restarts: Option<u64>,
    /// The exit of its last run, while that is recent.
    pub last_exit: Option<LastExit>,
    /// Result of its health check; `None` if it is unknown whether the container has one.
    pub health: Option<Health>,
}
