//! Rounds over the layers of all containers, and the walks between them. The result of a walk appears with the next
//! round.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Options,
    layer::{self, Root},
    project::{self, Account},
    reading::{Reading, Shared, Subject},
    walk::{Step, Walk},
};
use crate::{
    containers::{directory::Directory, process},
    kernel::block_devices,
    snapshot::disk::{DiskSource, DiskUsage},
};

/// Minimum time between giving up a walk and walking the same layer again.
const GIVEN_UP: Duration = Duration::from_secs(3600);

/// State of the rounds.
pub(super) struct Rounds {
    options: Options,
    shared: Shared,
    host: Directory,
    same_namespace: bool,
    known: HashMap<u64, Known>,
    /// The layers that remain to be walked in this pass, by the keys of their containers.
    queue: VecDeque<u64>,
    walking: Option<(u64, Walk)>,
    number: u64,
    walks_given_up: u64,
}

/// State of one container's layer.
#[derive(Default)]
struct Known {
    /// Its root, if known.
    root: Option<Root>,
    /// True after two identical readings of the root, which does not change from then on.
    confirmed: bool,
    device: Arc<str>,
    account: Account,
    reported_bytes: Option<u64>,
    walked_bytes: Option<u64>,
    given_up: Option<Instant>,
}

impl Known {
    fn usage(&self) -> Option<DiskUsage> {
        let limit_bytes = self.account.limit_bytes;
        let sources = [
            (self.account.used_bytes, DiskSource::ProjectQuota),
            (self.reported_bytes, DiskSource::Runtime),
            (self.walked_bytes, DiskSource::Walk),
        ];
        let known = sources.into_iter().find(|(bytes, _)| bytes.is_some());
        let (used_bytes, source) = known.or(limit_bytes.map(|_| (None, DiskSource::ProjectQuota)))?;
        Some(DiskUsage { device: Arc::clone(&self.device), used_bytes, limit_bytes, source })
    }

    fn layer(&self) -> Option<&Path> {
        match &self.root {
            Some(Root::Overlay(layer)) => Some(layer),
            _ => None,
        }
    }

    /// True if only a walk can measure the layer, and the last walk was not given up recently.
    fn wants_walk(&self) -> bool {
        let known = self.account.used_bytes.or(self.reported_bytes).is_some();
        self.confirmed
            && self.layer().is_some()
            && !known
            && self.given_up.is_none_or(|at| at.elapsed() >= GIVEN_UP)
    }
}

impl Rounds {
    pub(super) fn new(options: Options, shared: Shared) -> std::io::Result<Self> {
        Ok(Self {
            host: Directory::host_root(&options.proc_root)?,
            same_namespace: process::same_namespace(&options.proc_root).is_ok(),
            options,
            shared,
            known: HashMap::new(),
            queue: VecDeque::new(),
            walking: None,
            number: 0,
            walks_given_up: 0,
        })
    }

    /// Updates every container's values that need no walk.
    pub(super) fn round(&mut self) {
        let begun = Instant::now();
        let subjects = self.shared.subjects();
        self.known.retain(|key, _| subjects.contains_key(key));
        // After many containers have ended, the table gives their memory back.
        self.known.shrink_to(2 * subjects.len());
        for subject in subjects.values() {
            self.look_at(subject);
        }
        if self.options.walk && self.queue.is_empty() && self.walking.is_none() {
            let wanting = self.known.iter().filter(|(_, known)| known.wants_walk());
            self.queue = wanting.map(|(key, _)| *key).collect();
        }
        self.number += 1;
        let layers = self.known.iter().filter_map(|(key, known)| Some((*key, known.usage()?))).collect();
        self.shared.put(Reading {
            taken: begun,
            duration: begun.elapsed(),
            number: self.number,
            layers,
            walks_given_up: self.walks_given_up,
        });
    }

    fn look_at(&mut self, subject: &Subject) {
        let known = self.known.entry(subject.key).or_default();
        // A process that is about to become the container's first one is still in the runtime's root.
        if !known.confirmed && subject.since.elapsed() >= self.options.debounce {
            let (layout, proc_root) = (&self.options.layout, &self.options.proc_root);
            // Process IDs of another PID namespace would lead to other containers' layers.
            let root = self.same_namespace.then(|| layer::root_of(layout, proc_root, &subject.cgroup_path));
            if let Some(root) = root.flatten() {
                known.confirmed = known.root.as_ref() == Some(&root);
                known.root = Some(root);
            }
        }
        known.reported_bytes =
            self.options.reported.get(&subject.id, self.options.period * super::STALE_PERIODS);
        known.account = Account::default();
        if let Some(Root::Overlay(path)) = &known.root
            && let Ok(directory) = self.host.on_host(path)
        {
            if let Ok(device) = directory.device() {
                let number = (libc::major(device), libc::minor(device));
                let name = block_devices::look_up(&self.options.sys_root.join("dev/block"), number);
                if known.device != name {
                    known.device = name;
                }
            }
            known.account = project::account(&directory).ok().flatten().unwrap_or_default();
        }
    }

    /// True if a walk is in progress or queued.
    pub(super) fn is_walking(&self) -> bool {
        self.walking.is_some() || !self.queue.is_empty()
    }

    /// Continues the walk for about one slice; `None` if there is nothing to walk.
    pub(super) fn walk(&mut self, slice: Duration) -> Option<Step> {
        let (key, mut walk) = match self.walking.take() {
            Some(walking) => walking,
            None => self.next_walk()?,
        };
        let step = walk.step(slice);
        match step {
            Step::More if !self.known.contains_key(&key) => {}
            Step::More => self.walking = Some((key, walk)),
            Step::Done(bytes) => self.walked(key, Some(bytes)),
            Step::GivenUp(reason) => {
                tracing::debug!("gave up the walk over a writable layer: {reason}; its size is absent");
                self.walked(key, None);
            }
        }
        Some(step)
    }

    fn next_walk(&mut self) -> Option<(u64, Walk)> {
        while let Some(key) = self.queue.pop_front() {
            let Some(layer) = self.known.get(&key).filter(|known| known.wants_walk()).and_then(Known::layer)
            else {
                continue;
            };
            if let Ok(walk) = self.host.on_host(layer).and_then(|layer| Walk::new(layer, self.options.bounds))
            {
                return Some((key, walk));
            }
        }
        None
    }

    fn walked(&mut self, key: u64, bytes: Option<u64>) {
        self.walks_given_up += u64::from(bytes.is_none());
        if let Some(known) = self.known.get_mut(&key) {
            known.walked_bytes = bytes;
            known.given_up = bytes.is_none().then(Instant::now);
        }
    }
}
