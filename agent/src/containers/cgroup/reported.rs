//! Reported cgroups: containers with no container ID in their cgroup paths, known only because a runtime reports them.
//! The tick writes this table and any thread can read it. It is empty on most hosts.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::snapshot::identity::Runtime;

/// A container without an ID in its cgroup path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedCgroup {
    /// The container ID under which the metadata is stored.
    pub id: String,
    /// The runtime.
    pub runtime: Runtime,
}

/// Cgroups that runtimes have reported, by path.
pub type ByPath = HashMap<String, ReportedCgroup>;

/// The reported cgroups by path, with a leading slash. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct ReportedCgroups(Arc<RwLock<Arc<ByPath>>>);

impl ReportedCgroups {
    /// Replaces the table.
    pub fn set(&self, all: ByPath) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    /// The current table.
    #[must_use]
    pub fn get(&self) -> Arc<ByPath> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
