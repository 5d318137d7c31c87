//! Data that the disk thread and the tick exchange.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{collectors::shared, snapshot::disk::DiskUsage};

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

/// State shared by the tick and the thread.
pub(super) type Shared = shared::Shared<Subject, Reading>;
