//! The data that the NVML thread publishes for the tick.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::snapshot::gpu::{ContainerGpu, Gpu};

/// One reading of all values.
#[derive(Debug, Default)]
pub struct Reading {
    /// When the reading started; `None` if there was no library to read from.
    pub taken: Option<Instant>,
    /// How long it took.
    pub duration: Duration,
    /// True if the library is loaded and initialized.
    pub up: bool,
    /// The result, or the reason for having none, for people.
    pub finding: String,
    /// Why the GPUs of a loaded driver cannot be read.
    pub limitation: Option<String>,
    /// The driver's version.
    pub driver_version: String,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// PCI addresses of GPUs that the kernel driver lists and NVML does not report. Empty if there is no usable
    /// library, which is not a sign of failed GPUs.
    pub unreported: Vec<String>,
    /// Use by containers, by the path of the container's own cgroup.
    pub containers: HashMap<Arc<str>, Vec<ContainerGpu>>,
    /// Failed calls so far, by function and error.
    pub failures: Vec<(&'static str, &'static str, u64)>,
    /// Impossible values so far, by name.
    pub rejected: Vec<(&'static str, u64)>,
}

/// The last reading. The lock is held only while pointers are exchanged.
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
