//! What the NVML thread leaves behind for the tick.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::snapshot::gpu::{ContainerGpu, Gpu};

/// One reading of everything.
#[derive(Debug, Default)]
pub struct Reading {
    /// When it was begun; `None` where there was nothing to read from.
    pub taken: Option<Instant>,
    /// How long it took.
    pub duration: Duration,
    /// Whether the library is loaded and initialised.
    pub up: bool,
    /// What was found, or why nothing was, in words.
    pub finding: String,
    /// The driver's version.
    pub driver_version: String,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// PCI addresses of GPUs that the kernel driver lists and NVML does not. Empty if there is no usable library, which says
    /// nothing about GPUs.
    pub unreported: Vec<String>,
    /// What containers do on them, by the path of the container's own cgroup.
    pub containers: HashMap<Arc<str>, Vec<ContainerGpu>>,
    /// Failed calls so far, by function and error.
    pub failures: Vec<(&'static str, &'static str, u64)>,
    /// Impossible values so far, by value.
    pub rejected: Vec<(&'static str, u64)>,
}

/// Where the last reading is. The lock is held for an exchange of pointers only.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<Mutex<Option<Arc<Reading>>>>);

impl Latest {
    pub(super) fn put(&self, reading: Reading) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
    }

    pub(super) fn get(&self) -> Option<Arc<Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
