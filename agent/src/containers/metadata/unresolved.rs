//! Containers without metadata, queued for a lookup.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::MetadataStore;
use crate::snapshot::identity::Runtime;

/// Maximum number of queued containers.
pub(super) const UNRESOLVED_MAX: usize = 1024;

/// An existing container without metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The container ID.
    pub id: String,
    /// The cgroup path.
    pub cgroup_path: String,
    /// The runtime that created the container, according to the path.
    pub runtime: Runtime,
}

/// How many containers were discovered without metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discoveries {
    /// The number of all of them.
    pub all: u64,
    /// The number of those that a Kubernetes runtime may report.
    pub kubernetes: u64,
}

impl MetadataStore {
    /// Queues a container without metadata for a lookup. If the queue is full, the oldest one is dropped.
    pub fn report_unresolved(&self, unresolved: Unresolved) {
        let kubernetes = !matches!(unresolved.runtime, Runtime::Docker | Runtime::Podman);
        {
            let mut waiting = self.unresolved();
            if waiting.len() >= UNRESOLVED_MAX {
                waiting.pop_front();
            }
            waiting.push_back(unresolved);
        }
        self.0.discoveries.send_modify(|seen| {
            seen.all += 1;
            seen.kubernetes += u64::from(kubernetes);
        });
    }

    /// Notifies the receiver when [`report_unresolved`](Self::report_unresolved) is called.
    #[must_use]
    pub fn discoveries(&self) -> watch::Receiver<Discoveries> {
        self.0.discoveries.subscribe()
    }

    /// Takes the queued containers that still have no metadata.
    #[must_use]
    pub fn take_unresolved(&self) -> Vec<Unresolved> {
        let waiting = std::mem::take(&mut *self.unresolved());
        let entries = self.entries();
        waiting.into_iter().filter(|unresolved| !entries.by_id.contains_key(&unresolved.id)).collect()
    }

    fn unresolved(&self) -> MutexGuard<'_, VecDeque<Unresolved>> {
        self.0.unresolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
