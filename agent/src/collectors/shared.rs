//! State that the tick and a collector's [thread](super::thread) share: the containers to look at, and the latest reading.
//! A lock is held only while a pointer or an entry is copied, so neither side waits for the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Containers to look at, by their keys.
pub(super) type Subjects<S> = HashMap<u64, Arc<S>>;

/// The shared state. `S` describes a container to look at; `R` is the result of a look at all of them.
pub(super) struct Shared<S, R> {
    subjects: Arc<Mutex<Arc<Subjects<S>>>>,
    latest: Arc<Mutex<Option<Arc<R>>>>,
}

impl<S, R> Default for Shared<S, R> {
    fn default() -> Self {
        Self { subjects: Arc::default(), latest: Arc::default() }
    }
}

impl<S, R> Clone for Shared<S, R> {
    fn clone(&self) -> Self {
        Self { subjects: Arc::clone(&self.subjects), latest: Arc::clone(&self.latest) }
    }
}

impl<S, R> Shared<S, R> {
    /// Adds a container with this key.
    pub(super) fn add(&self, key: u64, subject: S) -> Arc<S> {
        let subject = Arc::new(subject);
        Arc::make_mut(&mut lock(&self.subjects)).insert(key, Arc::clone(&subject));
        subject
    }

    /// Removes a container.
    pub(super) fn remove(&self, key: u64) {
        Arc::make_mut(&mut lock(&self.subjects)).remove(&key);
    }

    /// The containers to look at. It is another table if any has been added or removed since the last call, and the caller
    /// still holds the one that was returned then.
    pub(super) fn subjects(&self) -> Arc<Subjects<S>> {
        Arc::clone(&lock(&self.subjects))
    }

    /// Publishes a reading.
    pub(super) fn put(&self, reading: R) {
        *lock(&self.latest) = Some(Arc::new(reading));
    }

    /// The latest reading; `None` before the first.
    pub(super) fn latest(&self) -> Option<Arc<R>> {
        lock(&self.latest).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
