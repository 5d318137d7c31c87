//! Data that the thread and the tick exchange.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::snapshot::facefusion::FaceFusion;

/// A container to look at.
#[derive(Debug)]
pub(super) struct Subject {
    /// The container's key.
    pub(super) key: u64,
    /// The container ID.
    pub(super) id: String,
    /// The path of its cgroup.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
    /// Allocations of GPU memory that the driver has refused.
    refused: AtomicU64,
    /// Number of ticks that have read it.
    ticks: AtomicU64,
}

impl Subject {
    pub(super) fn new(key: u64, id: String, cgroup_path: String) -> Self {
        let since = Instant::now();
        Self { key, id, cgroup_path, since, refused: AtomicU64::new(0), ticks: AtomicU64::new(0) }
    }

    /// Called once per tick.
    pub(super) fn note_refused(&self, refused: u64) {
        self.refused.store(refused, Relaxed);
        self.ticks.fetch_add(1, Relaxed);
    }

    /// Refused allocations as of the last tick, and the number of ticks so far.
    pub(super) fn refused(&self) -> (u64, u64) {
        let ticks = self.ticks.load(Relaxed);
        (self.refused.load(Relaxed), ticks)
    }
}

/// The result of one look at all containers.
#[derive(Debug)]
pub(super) struct Reading {
    /// When it was taken.
    pub(super) taken: Instant,
    /// The containers with FaceFusion, by their keys.
    pub(super) containers: HashMap<u64, FaceFusion>,
}

/// State shared by the tick and the thread. A lock is held only while a pointer or an entry is copied.
#[derive(Clone, Default)]
pub(super) struct Shared {
    subjects: Arc<Mutex<HashMap<u64, Arc<Subject>>>>,
    latest: Arc<Mutex<Option<Arc<Reading>>>>,
}

impl Shared {
    pub(super) fn add(&self, subject: Arc<Subject>) {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.key, subject);
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
