//! Cgroups that are containers although their paths bear no id: their runtime has told. The tick's to write, everybody's
//! to read; empty on most hosts.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::snapshot::identity::Runtime;

/// A container whose cgroup bears no id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCgroup {
    /// Its id, as its runtime's names are filed.
    pub id: String,
    /// The runtime.
    pub runtime: Runtime,
}

type ByPath = HashMap<String, ToldCgroup>;

/// By the cgroup's path, with a leading slash. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<RwLock<Arc<ByPath>>>);

impl Told {
    /// Replaces them all.
    pub fn set(&self, all: ByPath) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    /// All of them.
    #[must_use]
    pub fn get(&self) -> Arc<ByPath> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
