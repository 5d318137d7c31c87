//! Data that the thread and the tick exchange. A lock is held only while a pointer or an entry is copied.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use crate::snapshot::inference::Inference;

/// The result of one round.
#[derive(Debug)]
pub(super) struct Reading {
    /// When the round ended.
    pub(super) taken: Instant,
    /// The containers with GPUs or model loads, by their keys.
    pub(super) containers: HashMap<u64, Inference>,
}

/// A container to look at.
#[derive(Debug)]
pub(super) struct Subject {
    /// The path of its cgroup.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
    /// Whether its memory has grown since the thread last looked at its open files: it may be loading a model.
    pub(super) has_grown: AtomicBool,
}

impl Subject {
    pub(super) const fn new(cgroup_path: String, since: Instant) -> Self {
        Self { cgroup_path, since, has_grown: AtomicBool::new(false) }
    }
}

/// Containers by their keys.
pub(super) type Subjects = HashMap<u64, Arc<Subject>>;

#[derive(Clone, Default)]
pub(super) struct Shared {
    subjects: Arc<Mutex<Arc<Subjects>>>,
    latest: Arc<Mutex<Option<Arc<Reading>>>>,
}

impl Shared {
    pub(super) fn add(&self, key: u64, subject: Subject) -> Arc<Subject> {
        let subject = Arc::new(subject);
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut subjects).insert(key, Arc::clone(&subject));
        subject
    }

    pub(super) fn remove(&self, key: u64) {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut subjects).remove(&key);
    }

    /// The containers to look at. It is another table if any has been added or removed since the last call, and the caller
    /// still holds the one that was returned then.
    pub(super) fn subjects(&self) -> Arc<Subjects> {
        Arc::clone(&self.subjects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, reading: Reading) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
    }

    pub(super) fn latest(&self) -> Option<Arc<Reading>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
