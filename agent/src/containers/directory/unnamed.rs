//! Containers without metadata, queued for a lookup.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Directory;
use crate::snapshot::identity::Runtime;

/// Maximum number of queued containers.
pub(super) const UNNAMED_MAX: usize = 1024;

/// An existing container without metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// The container ID.
    pub id: String,
    /// The cgroup path.
    pub cgroup_path: String,
    /// The runtime that created the container, according to the path.
    pub runtime: Runtime,
}

/// How many containers were discovered without metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// The number of all of them.
    pub all: u64,
    /// The number of those that a Kubernetes runtime may report.
    pub kubernetes: u64,
}

impl Directory {
    /// Queues a container without metadata for a lookup. If the queue is full, the oldest one is dropped.
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

    /// Notifies the receiver when [`seen_unnamed`](Self::seen_unnamed) is called.
    #[must_use]
    pub fn sightings(&self) -> watch::Receiver<Sightings> {
        self.0.sightings.subscribe()
    }

    /// Takes the queued containers that still have no metadata.
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
