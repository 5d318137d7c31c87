//! Which cgroups are containers although their paths bear no id.

use std::{cmp::Reverse, collections::HashMap, sync::atomic::Ordering};

use super::{Directory, Entry};
use crate::containers::cgroup::ToldCgroup;

impl Directory {
    /// A number that changes when such a container is told of or started: its cgroup may be found from then on. Takes no
    /// lock.
    #[must_use]
    pub fn cgroups_generation(&self) -> u64 {
        self.0.cgroups_generation.load(Ordering::Acquire)
    }

    /// All of them, by the paths of their cgroups; those that were removed, too, as the cgroup may outlast that. Of two who
    /// claim one cgroup, the one that is still there has it, then the one whose socket was configured first.
    #[must_use]
    pub fn told_cgroups(&self) -> HashMap<String, ToldCgroup> {
        let entries = self.entries();
        let told = entries.by_id.iter();
        let told = told.filter_map(|(id, entry)| Some((entry.names.cgroup_path.as_ref()?, id, entry)));
        let mut told: Vec<_> = told.collect();
        let rank = |entry: &Entry| (entry.removed_at.is_some(), entry.names.source.rank(), entry.arrival);
        // Of those with one path, the last one stays.
        told.sort_unstable_by_key(|(_, _, entry)| Reverse(rank(entry)));
        let told = told.into_iter().map(|(path, id, entry)| {
            (path.clone(), ToldCgroup { id: id.clone(), runtime: entry.names.runtime })
        });
        told.collect()
    }

    pub(super) fn cgroups_changed(&self) {
        self.0.cgroups_generation.fetch_add(1, Ordering::Release);
    }
}
