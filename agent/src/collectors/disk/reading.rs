//! What the disk thread and the tick leave for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::snapshot::disk::DiskUsage;

/// One round over all layers, with the walks that had ended by then.
#[derive(Debug)]
pub(super) struct Reading {
    /// When the round was begun.
    pub(super) taken: Instant,
    /// How long it took.
    pub(super) duration: Duration,
    /// Grows with each reading.
    pub(super) number: u64,
    /// The layers of which something is known, by the keys of their containers.
    pub(super) layers: HashMap<u64, DiskUsage>,
    /// Walks given up so far.
    pub(super) walks_given_up: u64,
}

/// A container to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The container's key.
    pub(super) key: u64,
    /// The runtime's id.
    pub(super) id: String,
    /// Its cgroup's path.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
}

/// Shared by the tick and the thread. A lock is held for as long as it takes to copy a pointer or an entry.
#[derive(Clone, Default)]
pub(super) struct Shared {
    subjects: Arc<Mutex<HashMap<u64, Arc<Subject>>>>,
    latest: Arc<Mutex<Option<Arc<Reading>>>>,
}

impl Shared {
    pub(super) fn add(&self, subject: Subject) {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.key, Arc::new(subject));
    }

    pub(super) fn remove(&self, key: u64) {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    pub(super) fn subjects(&self) -> Vec<Arc<Subject>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn put(&self, reading: Reading) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
    }

    pub(super) fn latest(&self) -> Option<Arc<Reading>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
