//! OOM kills of a container.

use std::time::SystemTime;

/// OOM kills of a container's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomKills {
    /// Kills since its cgroup was created, or since the agent first saw it; `None` if neither a kernel program nor a
    /// file reports them.
    pub this_run: Option<u64>,
    /// Kills in earlier runs: a container that is restarted keeps its ID and gets a new cgroup.
    pub earlier_runs: u64,
    /// When the last kill was detected, at most one tick after the kill.
    pub last_at: Option<SystemTime>,
}

impl OomKills {
    /// Kills of all runs; `None` if the kills of this run are unknown.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.this_run.map(|kills| kills + self.earlier_runs)
    }

    /// The kills with which the next run starts.
    #[must_use]
    pub fn reborn(&self) -> Self {
        Self {
            this_run: None,
            earlier_runs: self.earlier_runs + self.this_run.unwrap_or(0),
            last_at: self.last_at,
        }
    }
}
