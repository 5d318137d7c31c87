//! Containers that nobody has told of yet: for whoever can look them up.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Directory;
use crate::snapshot::identity::Runtime;

/// Most containers that nobody has named yet and that are still to be looked up.
pub(super) const UNNAMED_MAX: usize = 1024;

/// A container that is there, of which nobody has told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// Its id.
    pub id: String,
    /// Its cgroup's path.
    pub cgroup_path: String,
    /// What made it, as its path tells.
    pub runtime: Runtime,
}

/// How many containers were seen that nobody had told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// All of them.
    pub all: u64,
    /// Those that a Kubernetes runtime may know.
    pub kubernetes: u64,
}

impl Directory {
    /// A container is there that nobody has told of: whoever can look it up should. Where too many wait, the first is
    /// given up.
    pub fn seen_unnamed(&self, unnamed: Unnamed) {
        let kubernetes = !matches!(unnamed.runtime, Runtime::Docker | Runtime::Podman);
        {
            let mut waiting = self.unnamed();
            if waiting.len() >= UNNAMED_MAX {
                waiting.pop_front();
            }
            waiting.push_back(unnamed);
        }
        self.0.sightings.send_modify(|seen| {
            seen.all += 1;
            seen.kubernetes += u64::from(kubernetes);
        });
    }

    /// Tells when [`seen_unnamed`](Self::seen_unnamed) is called.
    #[must_use]
    pub fn sightings(&self) -> watch::Receiver<Sightings> {
        self.0.sightings.subscribe()
    }

    /// Takes those that wait to be looked up and are still not known.
    #[must_use]
    pub fn take_unnamed(&self) -> Vec<Unnamed> {
        let waiting = std::mem::take(&mut *self.unnamed());
        let entries = self.entries();
        waiting.into_iter().filter(|unnamed| !entries.by_id.contains_key(&unnamed.id)).collect()
    }

    fn unnamed(&self) -> MutexGuard<'_, VecDeque<Unnamed>> {
        self.0.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
