//! What the runtimes tell of containers: an address book from id to names, shared between the tasks that
//! follow the runtimes (writers) and the tick (reader). Unlike the containers themselves, which only the
//! cgroups make known.
//!
//! Bounded: [`ENTRIES_MAX`] entries, each cut to size. Entries of removed containers stay for [`LINGER`], so
//! that a container that died before the tick came round can still be named.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use super::{Runtime, layers::Layers, lifecycle::Life};

/// Most entries.
pub const ENTRIES_MAX: usize = 8192;
/// How long an entry stays after its container was removed.
pub const LINGER: Duration = Duration::from_secs(600);

const NAME_BYTES: usize = 256;
const IMAGE_BYTES: usize = 512;
const LABELS_MAX: usize = 64;
const LABEL_BYTES: usize = 1024;
/// Why a runtime is not connected, for people.
const REASON_BYTES: usize = 512;
/// Most containers that nobody has named yet and that are still to be looked up.
const UNNAMED_MAX: usize = 1024;

/// Who tells of containers: one socket of a runtime, or the files that runtimes leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The runtime.
    pub runtime: Runtime,
    /// Its sockets in the order in which they were configured, or [`Source::FILES`].
    number: u16,
}

impl Source {
    /// Files have been read but cannot be asked again: whoever answers knows better.
    const FILES: u16 = u16::MAX;

    /// A socket of `runtime`; `number` tells its sockets apart.
    #[must_use]
    pub fn socket(runtime: Runtime, number: usize) -> Self {
        Self { runtime, number: u16::try_from(number).unwrap_or(Self::FILES - 1).min(Self::FILES - 1) }
    }

    /// Files that `runtime` has left.
    #[must_use]
    pub const fn files(runtime: Runtime) -> Self {
        Self { runtime, number: Self::FILES }
    }

    fn is_files(self) -> bool {
        self.number == Self::FILES
    }
}

impl From<Runtime> for Source {
    /// Its first socket.
    fn from(runtime: Runtime) -> Self {
        Self { runtime, number: 0 }
    }
}

/// What a runtime tells of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The runtime.
    pub runtime: Runtime,
    /// Who told. Nobody else may change what is known of a container while that one vouches for it.
    pub source: Source,
    /// Its name for the container, without a leading slash. Empty where unknown.
    pub name: String,
    /// The image as the user wrote it. Empty where unknown.
    pub image: String,
    /// The labels that the configuration lets through.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// The container's name in its Kubernetes pod.
    pub kubernetes_container: Option<String>,
    /// The service in its compose file.
    pub compose_service: Option<String>,
    /// Its number among the containers of its compose service.
    pub compose_number: Option<String>,
    /// When its main process was started.
    pub started_at: Option<SystemTime>,
    /// How it fares.
    pub life: Life,
}

impl Names {
    /// Takes what is understood from a container's labels, and keeps those that `filter` lets through: exact
    /// names, or a prefix followed by `*`.
    pub fn new<'a>(
        source: impl Into<Source>,
        name: &str,
        image: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        filter: &[String],
    ) -> Self {
        let source = source.into();
        let mut names = Self {
            runtime: source.runtime,
            source,
            name: cut(name.trim_start_matches('/'), NAME_BYTES),
            image: cut(image, IMAGE_BYTES),
            ..Self::default()
        };
        for (key, value) in labels {
            let known = match key {
                "io.kubernetes.pod.namespace" => Some(&mut names.namespace),
                "io.kubernetes.pod.name" => Some(&mut names.pod),
                "io.kubernetes.container.name" => Some(&mut names.kubernetes_container),
                "com.docker.compose.service" => Some(&mut names.compose_service),
                "com.docker.compose.container-number" => Some(&mut names.compose_number),
                _ => None,
            };
            if let Some(field) = known.filter(|_| !value.is_empty()) {
                *field = Some(cut(value, NAME_BYTES));
            }
            if passes(filter, key) {
                names.keep(key, value);
            }
        }
        names
    }

    /// Keeps the first labels by name, so that the choice does not depend on their order.
    fn keep(&mut self, key: &str, value: &str) {
        if key.len() > NAME_BYTES {
            return;
        }
        self.labels.insert(key.to_owned(), cut(value, LABEL_BYTES));
        if self.labels.len() > LABELS_MAX {
            self.labels.pop_last();
        }
    }
}

/// True where a filter of exact names and prefixes followed by `*` lets a label through.
fn passes(filter: &[String], key: &str) -> bool {
    filter.iter().any(|rule| match rule.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == rule,
    })
}

/// The longest beginning of `text` within `bytes`.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// The address book. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    generation: AtomicU64,
    lives_generation: AtomicU64,
    entries: Mutex<Entries>,
    runtimes: Mutex<Vec<Registered>>,
    unnamed: Mutex<VecDeque<Unnamed>>,
    sightings: watch::Sender<Sightings>,
    /// True where runtimes have left files that may name a container.
    files: AtomicBool,
    layers: Layers,
}

/// A container that is there, of which nobody has told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// Its id.
    pub id: String,
    /// Its cgroup's path.
    pub cgroup_path: String,
    /// What made it, as its path tells.
    pub runtime: Runtime,
}

/// How many containers were seen that nobody had told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// All of them.
    pub all: u64,
    /// Those that a Kubernetes runtime may know.
    pub kubernetes: u64,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<String, Entry>,
    /// The ids of removed containers, oldest first. One that came back since is passed over.
    removed: VecDeque<(Instant, String)>,
    /// Numbers the entries in their order of arrival.
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    names: Names,
    removed_at: Option<Instant>,
    arrival: u64,
}

#[derive(Debug)]
struct Registered {
    source: Source,
    /// `None` until it has answered or failed for the first time.
    state: Option<Result<(), String>>,
}

impl Directory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a container, or replaces what is known of it. Does nothing where another source vouches for it.
    pub fn put(&self, id: &str, names: Names) {
        if id.len() > NAME_BYTES {
            return;
        }
        let mut entries = self.entries();
        entries.expire(Instant::now());
        if entries.by_id.get(id).is_some_and(|entry| !entry.yields_to(names.source)) {
            return;
        }
        if !entries.by_id.contains_key(id) {
            entries.make_room();
        }
        entries.arrivals += 1;
        let entry = Entry { names, removed_at: None, arrival: entries.arrivals };
        entries.by_id.insert(id.to_owned(), entry);
        self.changed();
    }

    /// The container has another name now.
    pub fn update_name(&self, id: &str, name: &str) {
        self.update(id, |names| {
            names.name = cut(name.trim_start_matches('/'), NAME_BYTES);
        });
    }

    /// The image as the user wrote it, where it was known less well before.
    pub fn update_image(&self, id: &str, image: &str) {
        self.update(id, |names| names.image = cut(image, IMAGE_BYTES));
    }

    /// The container's main process was started.
    pub fn set_started_at(&self, id: &str, started_at: SystemTime) {
        self.update(id, |names| names.started_at = Some(started_at));
    }

    /// Something happened to the container.
    pub fn update_life(&self, id: &str, change: impl FnOnce(&mut Life)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.life;
            change(&mut entry.names.life);
            if entry.names.life != before {
                self.0.lives_generation.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Names)) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            let before = entry.names.clone();
            change(&mut entry.names);
            if entry.names != before {
                self.changed();
            }
        }
    }

    /// The container was removed. Its entry stays for [`LINGER`].
    pub fn remove(&self, id: &str) {
        self.entries().remove(id, Instant::now());
    }

    /// Removes all containers of `source` but those that `keep` wants: after a listing, which tells of all.
    pub fn retain(&self, source: impl Into<Source>, keep: impl Fn(&str) -> bool) {
        let source = source.into();
        let mut entries = self.entries();
        let stale = entries.by_id.iter().filter(|(id, entry)| entry.names.source == source && !keep(id));
        let stale: Vec<String> = stale.map(|(id, _)| id.clone()).collect();
        for id in stale {
            entries.remove(&id, Instant::now());
        }
    }

    /// What is known of a container.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Names> {
        let mut entries = self.entries();
        entries.expire(Instant::now());
        entries.by_id.get(id).map(|entry| entry.names.clone())
    }

    /// How a container fares, as far as known.
    #[must_use]
    pub fn life(&self, id: &str) -> Option<Life> {
        self.entries().by_id.get(id).map(|entry| entry.names.life)
    }

    /// True where a runtime knows the container, and has not removed it.
    #[must_use]
    pub fn is_present(&self, id: &str) -> bool {
        self.entries().by_id.get(id).is_some_and(|entry| entry.removed_at.is_none())
    }

    /// A number that changes whenever what [`get`](Self::get) tells changes, but for entries that go because
    /// they are old or too many. Takes no lock.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The same for what [`update_life`](Self::update_life) changes: it happens far more often, and names stay.
    #[must_use]
    pub fn lives_generation(&self) -> u64 {
        self.0.lives_generation.load(Ordering::Acquire)
    }

    /// The container has begun, maybe not for the first time.
    pub fn began(&self, id: &str) {
        if let Some(entry) = self.entries().by_id.get_mut(id).filter(|entry| entry.names.source.is_files()) {
            entry.removed_at = None;
        }
    }

    /// The container has ended. What files told of it goes like what was removed: nobody else would say so.
    pub fn ended(&self, id: &str) {
        let mut entries = self.entries();
        if entries.by_id.get(id).is_some_and(|entry| entry.names.source.is_files()) {
            entries.remove(id, Instant::now());
        }
    }

    /// A container is there that nobody has told of: whoever can look it up should. Where too many wait, the first is
    /// given up.
    pub fn seen_unnamed(&self, unnamed: Unnamed) {
        let kubernetes = !matches!(unnamed.runtime, Runtime::Docker | Runtime::Podman);
        {
            let mut waiting = self.unnamed();
            if waiting.len() >= UNNAMED_MAX {
                waiting.pop_front();
            }
            waiting.push_back(unnamed);
        }
        self.0.sightings.send_modify(|seen| {
            seen.all += 1;
            seen.kubernetes += u64::from(kubernetes);
        });
    }

    /// Tells when [`seen_unnamed`](Self::seen_unnamed) is called.
    #[must_use]
    pub fn sightings(&self) -> watch::Receiver<Sightings> {
        self.0.sightings.subscribe()
    }

    /// Takes those that wait to be looked up and are still not known.
    #[must_use]
    pub fn take_unnamed(&self) -> Vec<Unnamed> {
        let waiting = std::mem::take(&mut *self.unnamed());
        let entries = self.entries();
        waiting.into_iter().filter(|unnamed| !entries.by_id.contains_key(&unnamed.id)).collect()
    }

    /// Tells of a source that will be asked, before its task is spawned.
    pub fn register(&self, source: impl Into<Source>) {
        let source = source.into();
        let mut runtimes = self.runtime_states();
        if !runtimes.iter().any(|registered| registered.source == source) {
            runtimes.push(Registered { source, state: None });
        }
    }

    /// The source turned out not to be one: it will not be asked for a long time, and nothing is amiss.
    pub fn unregister(&self, source: impl Into<Source>) {
        let source = source.into();
        self.runtime_states().retain(|registered| registered.source != source);
    }

    /// Notes whether a source answers, or why not. Returns true where that is news.
    pub fn set_connected(&self, source: impl Into<Source>, state: Result<(), String>) -> bool {
        let source = source.into();
        self.register(source);
        let state = state.map_err(|reason| cut(&reason, REASON_BYTES));
        let mut runtimes = self.runtime_states();
        let Some(registered) = runtimes.iter_mut().find(|registered| registered.source == source) else {
            return false;
        };
        let news = registered.state.as_ref().map(Result::is_ok) != Some(state.is_ok());
        registered.state = Some(state);
        news
    }

    /// The registered runtimes, each once, and why one does not answer: the first reason of its sockets.
    #[must_use]
    pub fn runtimes(&self) -> Vec<(Runtime, Result<(), String>)> {
        let mut all: Vec<(Runtime, Result<(), String>)> = Vec::new();
        for known in self.runtime_states().iter() {
            let state = known.state.clone().unwrap_or_else(|| Err("not asked yet".to_owned()));
            match all.iter_mut().find(|(runtime, _)| *runtime == known.source.runtime) {
                Some((_, so_far)) if so_far.is_ok() => *so_far = state,
                Some(_) => {}
                None => all.push((known.source.runtime, state)),
            }
        }
        all
    }

    /// What runtimes tell of writable layers.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.0.layers
    }

    /// Notes whether runtimes have left files that may name a container.
    pub fn set_files(&self, there: bool) {
        self.0.files.store(there, Ordering::Relaxed);
    }

    /// True where a container that is not known yet may be named in a moment.
    #[must_use]
    pub fn may_learn(&self) -> bool {
        self.0.files.load(Ordering::Relaxed) || self.any_connected()
    }

    /// True where a runtime answers.
    #[must_use]
    pub fn any_connected(&self) -> bool {
        self.runtime_states().iter().any(|known| matches!(known.state, Some(Ok(()))))
    }

    /// True once every registered source has listed its containers or failed to.
    #[must_use]
    pub fn first_listing_done(&self) -> bool {
        self.runtime_states().iter().all(|known| known.state.is_some())
    }

    fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    // No writer panics between two changes that belong together, so a poisoned lock holds sound data.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unnamed(&self) -> MutexGuard<'_, VecDeque<Unnamed>> {
        self.0.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runtime_states(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.0.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// True where `source` may replace this: who told of it does so again, or no longer vouches for it.
    fn yields_to(&self, source: Source) -> bool {
        let ours = self.names.source;
        ours == source || self.removed_at.is_some() || (ours.is_files() && !source.is_files())
    }
}

impl Entries {
    fn remove(&mut self, id: &str, now: Instant) {
        if let Some(entry) = self.by_id.get_mut(id).filter(|entry| entry.removed_at.is_none()) {
            entry.removed_at = Some(now);
            self.removed.push_back((now, id.to_owned()));
        }
        self.expire(now);
    }

    /// Drops what was removed long ago.
    fn expire(&mut self, now: Instant) {
        while self.removed.front().is_some_and(|(at, _)| now.duration_since(*at) >= LINGER) {
            self.drop_oldest_removed();
        }
    }

    /// Makes room for one more: what was removed first goes first, then what arrived first.
    fn make_room(&mut self) {
        while self.by_id.len() >= ENTRIES_MAX {
            if self.drop_oldest_removed() {
                continue;
            }
            let oldest = self.by_id.iter().min_by_key(|(_, entry)| entry.arrival).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.by_id.remove(&oldest);
        }
    }

    /// False where nothing removed is left.
    fn drop_oldest_removed(&mut self) -> bool {
        let Some((at, id)) = self.removed.pop_front() else {
            return false;
        };
        if self.by_id.get(&id).is_some_and(|entry| entry.removed_at == Some(at)) {
            self.by_id.remove(&id);
        }
        true
    }
}

#[cfg(test)]
mod tests;
