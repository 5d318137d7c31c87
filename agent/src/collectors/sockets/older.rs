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
    /// Whether this tick has read a container.
    has_read: bool,
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
        Self {
            layout,
            proc_root,
            host_namespace,
            containers: HashMap::new(),
            has_read: false,
            last_read: None,
        }
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
        self.has_read = false;
    }

    /// Reads the listening sockets of a container if it is due.
    pub(super) fn update(&mut self, container: &Container) {
        let Some(known) = self.containers.get(&container.key) else { return };
        let within = |at: Option<Instant>, period| at.is_some_and(|at| at.elapsed() < period);
        let is_early = known.read_at.is_some() && within(self.last_read, PAUSE);
        if self.has_read || is_early || within(known.read_at, PERIOD) {
            return;
        }
        (self.has_read, self.last_read) = (true, Some(Instant::now()));
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
