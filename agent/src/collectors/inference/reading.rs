//! Data that the thread and the tick exchange.

use std::{collections::HashMap, sync::atomic::AtomicBool, time::Instant};

use crate::{collectors::shared, snapshot::inference::Inference};

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
pub(super) type Subjects = shared::Subjects<Subject>;

/// State shared by the tick and the thread.
pub(super) type Shared = shared::Shared<Subject, Reading>;
