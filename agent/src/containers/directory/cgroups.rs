//! Which cgroups are containers although their paths bear no id.

use std::{collections::HashMap, sync::atomic::Ordering};

use super::Directory;
use crate::containers::cgroup::ToldCgroup;

impl Directory {
    /// A number that changes when such a container is told of or started: its cgroup may be found from then on. Takes no
    /// lock.
    #[must_use]
    pub fn cgroups_generation(&self) -> u64 {
        self.0.cgroups_generation.load(Ordering::Acquire)
    }

    /// All of them that have not been removed, by the paths of their cgroups.
    #[must_use]
    pub fn told_cgroups(&self) -> HashMap<String, ToldCgroup> {
        let entries = self.entries();
        let present = entries.by_id.iter().filter(|(_, entry)| entry.removed_at.is_none());
        let told = present.filter_map(|(id, entry)| {
            let (path, runtime) = (entry.names.cgroup_path.clone()?, entry.names.runtime);
            Some((path, ToldCgroup { id: id.clone(), runtime }))
        });
        told.collect()
    }

    pub(super) fn cgroups_changed(&self) {
        self.0.cgroups_generation.fetch_add(1, Ordering::Release);
    }
}
