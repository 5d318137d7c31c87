//! The user's rename rules, with warnings about rules that have no effect.

use std::collections::HashSet;

use crate::{
    config::{Rename, ineffective_renames},
    containers::naming::Assigned,
};

/// The rules and their observed effect.
#[derive(Debug)]
pub(super) struct Renames {
    pub(super) rules: Vec<Rename>,
    used: HashSet<usize>,
    /// Rules with a warning in the log.
    reported: HashSet<usize>,
}

impl Renames {
    /// Logs a warning for each rule that cannot have an effect.
    pub(super) fn new(rules: Vec<Rename>) -> Self {
        let mut reported = HashSet::new();
        for (index, reason) in ineffective_renames(&rules) {
            let Rename { name, to } = &rules[index];
            tracing::warn!("containers.rename {name:?} to {to:?} has no effect: {reason}");
            reported.insert(index);
        }
        Self { rules, used: HashSet::new(), reported }
    }

    /// Records which rules the names came from, and logs one warning for each rule that gives a name already in use.
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

    /// Logs a warning for each rule that has not matched any container yet.
    pub(super) fn warn_of_idle(&mut self) {
        for (index, Rename { name, to }) in self.rules.iter().enumerate() {
            if !self.used.contains(&index) && self.reported.insert(index) {
                tracing::warn!("containers.rename {name:?} to {to:?} has matched no container so far");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;

    #[test]
    fn rules_without_effect_are_reported_once_each() {
        let rule = |name: &str, to: &str| Rename { name: name.into(), to: to.into() };
        let rules = vec![rule("a*", "x-*"), rule("ab", "y"), rule("www", "front"), rule("gone", "z")];
        let assigned = |name: &str, choice: &str, rule| Assigned {
            name: name.into(),
            choice: choice.into(),
            rule: Some(rule),
            is_choice: name == choice,
        };
        let names = [assigned("x-1", "x-1", 0), assigned("www", "front", 2)];
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(log.reopen().unwrap())).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut renames = Renames::new(rules);
            for _ in 0..2 {
                renames.note(names.iter());
                renames.warn_of_idle();
            }
        });
        let log_text = fs::read_to_string(log.path()).unwrap();
        for words in [
            "\"ab\" to \"y\" has no effect",
            "\"www\" gives the name \"front\"",
            "\"gone\" to \"z\" has matched no",
        ] {
            assert_eq!(log_text.matches(words).count(), 1, "{words}: {log_text}");
        }
        assert_eq!(log_text.lines().count(), 3, "{log_text}");
    }
}
