//! One tracked container: its row, and what the tracker notes beside it.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use super::Container;
use crate::{
    containers::{
        Identity,
        directory::Names,
        lifecycle::{self, Life, Tracked},
    },
    snapshot::ContainerRow,
};

/// A tracked container with its row.
#[derive(Debug)]
pub struct Entry {
    /// The container.
    pub container: Container,
    /// What is known of it.
    pub row: ContainerRow,
    /// Cgroups nested in it that were entered into the found table.
    pub nested: HashSet<u64>,
    pub(super) first_seen: SystemTime,
    pub(super) made_at: Option<SystemTime>,
    pub(super) named: bool,
    /// Lives of the same id before this one.
    pub(super) earlier_lives: u64,
    /// The container in whose place Kubernetes made this one, while that is kept.
    pub(super) predecessor: Option<u64>,
    /// The last OOM kill that is in what is told of its life.
    pub(super) oom_seen: Option<SystemTime>,
    /// Whether the directory was told that nobody knows its name.
    pub(super) reported: bool,
}

impl Entry {
    /// Takes in what a runtime tells of its life.
    pub(super) fn fare(&mut self, told: Option<&Life>) {
        let tracked = Tracked {
            ended_at: self.row.ended_at,
            made_at: self.made_at,
            earlier_lives: self.earlier_lives,
            before: &self.row.life,
            oom: self.row.oom,
        };
        self.row.life = lifecycle::lifecycle(told, tracked);
        self.oom_seen = self.row.oom.last_at;
    }

    pub(super) fn rename(&mut self, names: Option<Names>, container: String) {
        let old = &self.container.identity;
        let mut new = Identity { container, ..(**old).clone() };
        self.named = names.is_some();
        if let Some(names) = names {
            new.runtime = names.runtime;
            new.name = names.name;
            new.image = names.image;
            new.labels = names.labels;
            new.namespace = names.namespace;
            new.pod = names.pod;
            new.started_at = names.started_at.or(self.made_at);
        }
        if new != **old {
            self.container.identity = Arc::new(new);
            self.row.identity = self.container.identity.clone();
        }
    }
}
