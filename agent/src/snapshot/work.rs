//! The work of a container, and how its time with work in flight was spent. Work is requests and Gradio jobs. Streams of
//! events are not work, because a stream may stay open without any.

use std::time::Duration;

use super::ContainerRow;

impl ContainerRow {
    /// The amount of work in flight. `None` if no work of the container is counted.
    #[must_use]
    pub fn work_in_flight(&self) -> Option<u64> {
        let requests = self.requests.as_ref()?;
        Some(requests.in_flight.saturating_add(self.jobs_in_flight()))
    }

    /// The amount of work that waits for the server: complete requests without a response, and running Gradio jobs that a
    /// client follows. Other work in flight may wait for its client.
    #[must_use]
    pub fn work_waiting(&self) -> u64 {
        let requests = self.requests.as_ref().map_or(0, |requests| requests.unanswered);
        requests.saturating_add(self.jobs.as_ref().map_or(0, |jobs| jobs.awaited))
    }

    /// The age of the oldest work in flight. The age of a job is not known; it counts as older than a tick.
    #[must_use]
    pub fn oldest_work(&self) -> Option<Duration> {
        if self.jobs_in_flight() > 0 {
            return Some(Duration::MAX);
        }
        self.requests.as_ref().and_then(|requests| requests.oldest)
    }

    fn jobs_in_flight(&self) -> u64 {
        self.jobs.as_ref().map_or(0, |jobs| jobs.in_flight.total())
    }
}

/// What the time was spent on. Of several that apply at the same time, the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A GPU ran work of the container.
    Gpu,
    /// A thread was in a call to the NVIDIA driver.
    NvidiaDriver,
    /// A thread ran on a CPU.
    OnCpu,
    /// The CPU quota was used up.
    Throttled,
    /// A thread was runnable and waited for a CPU.
    WaitingForCpu,
    /// A thread waited for a disk or another file.
    Disk,
    /// A thread waited for a socket.
    Socket,
    /// None of these: locks, sleeps, stopped processes, event loops that wait for their own timers.
    Idle,
}

impl Activity {
    /// All activities, in order of precedence.
    pub const ALL: [Self; 8] = [
        Self::Gpu,
        Self::NvidiaDriver,
        Self::OnCpu,
        Self::Throttled,
        Self::WaitingForCpu,
        Self::Disk,
        Self::Socket,
        Self::Idle,
    ];

    /// The value of the label `activity`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::NvidiaDriver => "nvidia_driver",
            Self::OnCpu => "on_cpu",
            Self::Throttled => "throttled",
            Self::WaitingForCpu => "waiting_for_cpu",
            Self::Disk => "disk",
            Self::Socket => "socket",
            Self::Idle => "idle",
        }
    }
}

/// Wall time with work in flight, by activity. The sum is the wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkTime([Duration; Activity::ALL.len()]);

impl WorkTime {
    /// Adds time.
    pub fn add(&mut self, activity: Activity, time: Duration) {
        let sum = &mut self.0[activity as usize];
        *sum = sum.saturating_add(time);
    }

    /// The time spent on this.
    #[must_use]
    pub const fn of(&self, activity: Activity) -> Duration {
        self.0[activity as usize]
    }

    /// The whole wall time.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().fold(Duration::ZERO, |sum, time| sum.saturating_add(*time))
    }
}
