//! Reported cgroups: containers with no container ID in their cgroup paths.

use std::{cmp::Reverse, collections::HashMap, sync::atomic::Ordering};

use super::{Entry, MetadataStore};
use crate::containers::cgroup::ReportedCgroup;

impl MetadataStore {
    /// A number that changes when such a container is reported or started, because its cgroup may then be found. Takes
    /// no lock.
    #[must_use]
    pub fn cgroups_generation(&self) -> u64 {
        self.0.cgroups_generation.load(Ordering::Acquire)
    }

    /// All reported cgroups by path, including those of removed containers, because the cgroup may be removed later. If
    /// several containers report the same path, one that is not removed wins, then the one of the socket that is
    /// configured first.
    #[must_use]
    pub fn reported_cgroups(&self) -> HashMap<String, ReportedCgroup> {
        let entries = self.entries();
        let all = entries.by_id.iter();
        let with_path = all.filter_map(|(id, entry)| Some((entry.names.cgroup_path.as_ref()?, id, entry)));
        let mut reported: Vec<_> = with_path.collect();
        let rank = |entry: &Entry| (entry.removed_at.is_some(), entry.names.source.rank(), entry.arrival);
        // For equal paths, the last one is kept.
        reported.sort_unstable_by_key(|(_, _, entry)| Reverse(rank(entry)));
        let by_path = reported.into_iter().map(|(path, id, entry)| {
            (path.clone(), ReportedCgroup { id: id.clone(), runtime: entry.names.runtime })
        });
        by_path.collect()
    }

    pub(super) fn cgroups_changed(&self) {
        self.0.cgroups_generation.fetch_add(1, Ordering::Release);
    }
}
