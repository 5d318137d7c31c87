//! Containers that are older than the agent: connections and listening sockets that existed before the programs were
//! attached, of which the programs report nothing.
//!
//! Both are read for the container's network namespace, and not for the host's. If containers share a namespace, each
//! has the ports of all, and the number of connections is unknown.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::containers::{
    cgroup::Layout,
    listening::{Listening, NetworkFiles},
    process,
    tracker::Container,
};

/// Minimum time between two readings of the listening ports of one container.
const PERIOD: Duration = Duration::from_secs(60);
/// Minimum time between two such readings of any containers, except the first of each: at most one per tick.
const PAUSE: Duration = Duration::from_secs(5);

/// All containers that are older than the agent.
pub(super) struct Older {
    layout: Layout,
    proc_root: PathBuf,
    host_namespace: Option<u64>,
    containers: HashMap<u64, Namespace>,
    /// The container that this tick may read.
    due: Option<u64>,
    /// When the last container was read.
    last_read: Option<Instant>,
}

#[derive(Default)]
struct Namespace {
    read_at: Option<Instant>,
    /// Its inode with its files; `None` for the host's namespace, and if no process could be inspected.
    files: Option<(u64, NetworkFiles)>,
    listening: Listening,
}

impl Older {
    pub(super) fn new(layout: Layout, proc_root: PathBuf) -> Self {
        let host_namespace = process::host_network_namespace(&proc_root).ok();
        Self { layout, proc_root, host_namespace, containers: HashMap::new(), due: None, last_read: None }
    }

    pub(super) fn add(&mut self, key: u64) {
        self.containers.insert(key, Namespace::default());
    }

    pub(super) fn forget(&mut self, key: u64) {
        self.containers.remove(&key);
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.containers.contains_key(&key)
    }

    /// Starts a tick.
    pub(super) fn begin_tick(&mut self) {
        // One that could not be read must not keep the others waiting.
        if let Some(known) = self.due.take().and_then(|key| self.containers.get_mut(&key)) {
            known.read_at = Some(Instant::now());
        }
        let read_at = self.containers.iter().map(|(key, known)| (*key, known.read_at));
        self.due = due(read_at, self.last_read, Instant::now());
    }

    /// Reads the listening sockets of a container if it is due.
    pub(super) fn update(&mut self, container: &Container) {
        if self.due != Some(container.key) {
            return;
        }
        (self.due, self.last_read) = (None, Some(Instant::now()));
        let files = self.open(container);
        let listening = files.as_ref().and_then(|(_, files)| files.listening().ok()).unwrap_or_default();
        let read = Namespace { read_at: Some(Instant::now()), files, listening };
        self.containers.insert(container.key, read);
    }

    fn open(&self, container: &Container) -> Option<(u64, NetworkFiles)> {
        let path = &container.identity.cgroup_path;
        let process = process::any_of(&self.layout, path).ok()??;
        let inode = process::network_namespace(&self.proc_root, &process).ok()?;
        let files = NetworkFiles::open(&self.proc_root, &process).ok()?;
        // If the process has ended since, another process may have its ID.
        let is_own = process::is_member(&self.layout, path, &process) && self.host_namespace != Some(inode);
        is_own.then_some((inode, files))
    }

    /// The ports on which sockets of the container's namespace listen.
    pub(super) fn ports(&self, key: u64) -> impl Iterator<Item = u16> {
        self.containers.get(&key).into_iter().flat_map(|known| &known.listening.ports).copied()
    }

    /// The number of open connections; `None` if unknown.
    pub(super) fn open_connections(&self, key: u64) -> Option<u64> {
        let known = self.containers.get(&key)?;
        let (inode, files) = known.files.as_ref()?;
        let same = |other: &&Namespace| other.files.as_ref().is_some_and(|(other, _)| other == inode);
        if self.containers.values().filter(same).count() > 1 {
            return None;
        }
        Some(files.in_use().ok()?.saturating_sub(known.listening.sockets))
    }
}

/// The container to read now, of containers with the times at which each was last read: one that was never read, or else the one
/// that was read the longest time ago.
fn due(
    containers: impl Iterator<Item = (u64, Option<Instant>)>,
    last_read: Option<Instant>,
    now: Instant,
) -> Option<u64> {
    let is_over = |at: Instant, period| now.saturating_duration_since(at) >= period;
    let (key, read_at) = containers.min_by_key(|(_, read_at)| *read_at)?;
    let is_due =
        read_at.is_none_or(|at| is_over(at, PERIOD) && last_read.is_none_or(|last| is_over(last, PAUSE)));
    is_due.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_is_read_once_per_period_or_in_turn_if_they_are_many() {
        for (count, period_s) in [(3, 60), (12, 60), (50, 250)] {
            let begun = Instant::now();
            let mut read_at = vec![None; count];
            let (mut last, mut times) = (None, vec![Vec::new(); count]);
            for second in 0..1000 {
                let now = begun + Duration::from_secs(second);
                let Some(key) = due((0..).zip(read_at.iter().copied()), last, now) else { continue };
                let key = usize::try_from(key).unwrap();
                (read_at[key], last) = (Some(now), Some(now));
                times[key].push(second);
            }
            for (key, times) in times.iter().enumerate() {
                assert_eq!(times[0], key as u64, "the first ones follow each other");
                let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
                assert!(
                    pauses.clone().all(|pause| (60..=period_s + 60).contains(&pause)),
                    "{key}: {times:?}"
                );
                assert!(pauses.skip(1).all(|pause| pause <= period_s + 5), "{key}: {times:?}");
            }
        }
    }
}
