//! Processes of a container that the kernel killed because memory ran out.

use std::time::SystemTime;

/// The kills of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomKills {
    /// Kills since its cgroup was made, or since it was first seen; `None` where neither the kernel programs nor a file
    /// tells.
    pub this_life: Option<u64>,
    /// Kills in its earlier lives: a container that is started again keeps its id and gets a new cgroup.
    pub earlier_lives: u64,
    /// When the last kill was noticed, at most a tick after it.
    pub last_at: Option<SystemTime>,
}

impl OomKills {
    /// All of them; `None` where nothing tells of this life.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.this_life.map(|kills| kills + self.earlier_lives)
    }

    /// What its next life begins with.
    #[must_use]
    pub fn reborn(&self) -> Self {
        Self {
            this_life: None,
            earlier_lives: self.earlier_lives + self.this_life.unwrap_or(0),
            last_at: self.last_at,
        }
    }
}
