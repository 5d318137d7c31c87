//! The GPU use of a container in its current run. Accounts are kept by cgroup path, and a restarted container has the
//! same path as before, but its row counts from the start of the run.

use std::collections::HashMap;

use crate::{containers::tracker::Container, snapshot::gpu::ContainerGpu};

/// Maximum number of paths with a stored account.
const PATHS_MAX: usize = 4096;

/// The values of an account by GPU.
type Reached = Vec<ContainerGpu>;

/// The accounts at the start of the current runs.
#[derive(Default)]
pub(super) struct Runs {
    /// By the container's key: the account of its path at the start of the run.
    begun: HashMap<u64, Reached>,
    /// By cgroup path: the account as last reported.
    reported: HashMap<String, Reached>,
}

impl Runs {
    /// The shares of a container without the use by earlier runs.
    pub(super) fn of_this_run(
        &mut self,
        container: &Container,
        shares: Vec<ContainerGpu>,
    ) -> Vec<ContainerGpu> {
        let path = &container.identity.cgroup_path;
        let begun = self
            .begun
            .entry(container.key)
            .or_insert_with(|| self.reported.get(path).cloned().unwrap_or_default());
        if shares.is_empty() {
            return shares;
        }
        if self.reported.len() >= PATHS_MAX && !self.reported.contains_key(path) {
            // Running containers are added again at this tick.
            self.reported.clear();
        }
        self.reported.insert(path.clone(), shares.iter().map(ContainerGpu::totals).collect());
        // An account that was removed starts from 0 again.
        begun
            .retain(|before| shares.iter().all(|share| !is_same(share, before) || share.busy >= before.busy));
        let of_run = shares.into_iter().map(|mut share| {
            if let Some(before) = begun.iter().find(|before| is_same(&share, before)) {
                share.busy = share.busy.saturating_sub(before.busy);
                let before = before.energy_joules.unwrap_or(0.0);
                share.energy_joules = share.energy_joules.map(|joules| (joules - before).max(0.0));
            }
            share
        });
        of_run.collect()
    }

    /// Removes a container that has ended.
    pub(super) fn end(&mut self, container: &Container) {
        self.begun.remove(&container.key);
    }
}

fn is_same(one: &ContainerGpu, other: &ContainerGpu) -> bool {
    (one.index, &one.uuid) == (other.index, &other.uuid)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::snapshot::identity::{Identity, Runtime};

    fn container(key: u64) -> Container {
        let identity = Identity {
            id: "a".into(),
            cgroup_path: "/docker/a".into(),
            runtime: Runtime::Docker,
            container: "a".into(),
            ..Identity::default()
        };
        Container { key, identity: Arc::new(identity), cgroup_id: key, slot: None }
    }

    fn share(seconds: u64, joules: f64) -> Vec<ContainerGpu> {
        let busy = Duration::from_secs(seconds);
        vec![ContainerGpu { index: 1, busy, energy_joules: Some(joules), ..ContainerGpu::default() }]
    }

    #[test]
    fn a_run_counts_from_the_end_of_the_previous_run() {
        let mut runs = Runs::default();
        let mut used = |key, seconds, joules| {
            let shares = runs.of_this_run(&container(key), share(seconds, joules));
            let used = (shares[0].busy.as_secs(), shares[0].energy_joules.unwrap());
            if key != 1 {
                runs.end(&container(key));
            }
            used
        };
        assert_eq!(used(1, 0, 0.0), (0, 0.0));
        assert_eq!(used(1, 5, 50.0), (5, 50.0));
        assert_eq!(used(2, 7, 80.0), (2, 30.0), "use since the last report belongs to the new run");
        assert_eq!(used(3, 7, 80.0), (0, 0.0));
        assert_eq!(used(4, 1, 3.0), (1, 3.0), "the account was closed in between");
    }
}
