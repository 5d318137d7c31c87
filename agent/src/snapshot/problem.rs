//! Problems of a container.

use std::time::Duration;

use super::{health::StuckReason, memory_leak::Memory};

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
    /// Its GPUs look busy and do nothing.
    Spinning,
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
    /// The driver recently refused to allocate GPU memory for it.
    GpuMemoryRefused {
        /// Total number of refused allocations.
        failures: u64,
        /// Time since the last one.
        ago: Duration,
    },
    /// It runs a model on the CPUs although it was given GPUs.
    OnCpuDespiteGpu,
    /// Its memory is close to its limit.
    NearMemoryLimit {
        /// Working set as a share of the limit.
        ratio: f64,
    },
    /// It used up its CPU quota in many periods of the last minute.
    Throttled {
        /// Share of these periods, 0 to 1.
        ratio: f64,
    },
    /// Its threads waited for a CPU longer than they ran, although its quota was not used up.
    StarvedOfCpu {
        /// Share of the time that threads were runnable in which they waited, 0 to 1.
        ratio: f64,
    },
    /// The memory that it holds between jobs grows from job to job.
    MemoryLeak {
        /// The kind of memory.
        memory: Memory,
        /// Growth, in bytes per hour.
        bytes_per_hour: f64,
        /// Time until the memory is full; `None` without a limit.
        full_in: Option<Duration>,
    },
}

impl Problem {
    /// Its name in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StuckInDriver { .. } => "stuck_in_driver",
            Self::Stuck { .. } => "stuck",
            Self::Spinning => "spinning",
            Self::Unhealthy => "unhealthy",
            Self::OomKilled { .. } => "oom_killed",
            Self::CrashLooping { .. } => "crash_looping",
            Self::GpuMemoryRefused { .. } => "gpu_memory_refused",
            Self::OnCpuDespiteGpu => "on_cpu_despite_gpu",
            Self::NearMemoryLimit { .. } => "near_memory_limit",
            Self::Throttled { .. } => "throttled",
            Self::StarvedOfCpu { .. } => "starved_of_cpu",
            Self::MemoryLeak { .. } => "memory_leak",
        }
    }

    /// Rank by severity; 0 is the most severe.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::StuckInDriver { .. } => 0,
            Self::Stuck { .. } => 1,
            Self::Spinning => 2,
            Self::Unhealthy => 3,
            Self::OomKilled { .. } => 4,
            Self::CrashLooping { .. } => 5,
            Self::GpuMemoryRefused { .. } => 6,
            Self::OnCpuDespiteGpu => 7,
            Self::NearMemoryLimit { .. } => 8,
            Self::Throttled { .. } => 9,
            Self::StarvedOfCpu { .. } => 10,
            Self::MemoryLeak { .. } => 11,
        }
    }

    /// True if the container works, but slowly or close to a limit.
    #[must_use]
    pub const fn is_mild(&self) -> bool {
        matches!(
            self,
            Self::OnCpuDespiteGpu
                | Self::NearMemoryLimit { .. }
                | Self::Throttled { .. }
                | Self::StarvedOfCpu { .. }
                | Self::MemoryLeak { .. }
        )
    }
}
