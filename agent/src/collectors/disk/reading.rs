//! Data that the disk thread and the tick exchange.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::snapshot::disk::DiskUsage;

/// The result of one round over all layers and of the walks that had finished by then.
#[derive(Debug)]
pub(super) struct Reading {
    /// When the round started.
    pub(super) taken: Instant,
    /// How long it took.
    pub(super) duration: Duration,
    /// Increases with each reading.
    pub(super) number: u64,
    /// The layers with any known value, by the keys of their containers.
    pub(super) layers: HashMap<u64, DiskUsage>,
    /// Walks given up so far.
    pub(super) walks_given_up: u64,
}

/// A container to examine.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The container's key.
    pub(super) key: u64,
    /// The container ID.
    pub(super) id: String,
    /// The path of its cgroup.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
}

/// State shared by the tick and the thread. A lock is held only while a pointer or an entry is copied.
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
