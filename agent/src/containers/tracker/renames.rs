//! The user's rename rules, and whether each of them has an effect.

use std::collections::HashSet;

use crate::{
    config::{Rename, ineffective_renames},
    containers::naming::Assigned,
};

/// The rules, and what is known of their effect.
#[derive(Debug)]
pub(super) struct Renames {
    pub(super) rules: Vec<Rename>,
    used: HashSet<usize>,
    /// Rules of which a warning was logged.
    reported: HashSet<usize>,
}

impl Renames {
    /// Warns of rules that cannot have an effect.
    pub(super) fn new(rules: Vec<Rename>) -> Self {
        let mut reported = HashSet::new();
        for (index, reason) in ineffective_renames(&rules) {
            let Rename { name, to } = &rules[index];
            tracing::warn!("containers.rename {name:?} to {to:?} has no effect: {reason}");
            reported.insert(index);
        }
        Self { rules, used: HashSet::new(), reported }
    }

    /// Notes which rules the names came from, and warns once of each rule whose name is already in use.
    pub(super) fn note<'a>(&mut self, assigned: impl Iterator<Item = &'a Assigned>) {
        for Assigned { name, choice, rule, is_choice } in assigned {
            let Some(index) = *rule else { continue };
            self.used.insert(index);
            if !is_choice && self.reported.insert(index) {
                let pattern = &self.rules[index].name;
                tracing::warn!(
                    "containers.rename {pattern:?} gives the name {choice:?}, which another running container already \
                     has; this one is shown as {name:?}"
                );
            }
        }
    }

    /// Warns of the rules that have matched no container yet.
    pub(super) fn warn_of_idle(&mut self) {
        for (index, Rename { name, to }) in self.rules.iter().enumerate() {
            if !self.used.contains(&index) && self.reported.insert(index) {
                tracing::warn!("containers.rename {name:?} to {to:?} has matched no container so far");
            }
        }
    }
}
