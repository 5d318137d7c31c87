//! Reads metadata from the files that runtimes leave on disk, for containers that no socket reports. Read-only mounts
//! are enough. Each such container is looked up once, and twice more a little later if nothing was found, because some
//! files are written after the container has started.
//!
//! A separate thread reads the files, so that a hanging disk blocks nothing else, and because the threads for runtimes may not
//! be permitted to open files (`sandbox`). The contents of files are untrusted: they are read up to a limit ([`FILE_BYTES`]),
//! and unknown content is ignored. Costs nothing while runtimes report all containers.

mod containerd;
mod docker;
mod logs;
mod storage;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    time::{Duration, Instant},
};

use super::metadata::{Metadata, MetadataStore, Unresolved};
use crate::config::Paths;

/// Maximum number of bytes read from a file about one container.
const FILE_BYTES: u64 = 1 << 20;
/// Maximum number of directory entries that are read.
const ENTRIES_MAX: usize = 65_536;
/// How long a connected runtime may take to report a container.
const NAME_GRACE_PERIOD: Duration = Duration::from_millis(500);
/// Pauses before a container that was not found is looked up again.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// Maximum number of queued lists of containers while the disk is slow.
const LISTS_MAX: usize = 16;
/// Maximum number of containers that wait for another lookup.
const RETRIES_MAX: usize = 1024;

impl Paths {
    /// The directories that exist.
    #[must_use]
    pub fn there(&self) -> Vec<PathBuf> {
        self.directories().into_iter().filter(|path| path.is_dir()).collect()
    }

    /// The directories that this process is not permitted to read or to look for.
    #[must_use]
    pub fn unreadable(&self) -> Vec<PathBuf> {
        let denied = |path: &PathBuf| {
            fs::read_dir(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        self.directories().into_iter().filter(denied).collect()
    }

    fn directories(&self) -> [PathBuf; 4] {
        [
            self.docker.join("containers"),
            self.containerd.join(containerd::TASKS),
            self.containers_storage.clone(),
            self.logs.join(logs::CONTAINERS),
        ]
    }

    /// The metadata of a container from files.
    fn look_up(&self, unresolved: &Unresolved, filter: &[String]) -> Option<Metadata> {
        // The ID becomes part of a path.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if unresolved.id.is_empty() || !unresolved.id.bytes().all(plain) {
            return None;
        }
        docker::names(&self.docker, &unresolved.id, filter)
            .or_else(|| containerd::names(&self.containerd, &unresolved.id, filter))
            .or_else(|| storage::names(&self.containers_storage, &unresolved.id, filter))
            .or_else(|| logs::names(&self.logs, unresolved, filter))
    }
}

/// Lists of containers for the thread that reads files; `None` if it could not be started.
pub type Lists = Option<SyncSender<Vec<Unresolved>>>;

/// Looks up containers that no runtime reports, forever.
pub async fn watch(roots: Paths, reader: Lists, metadata: MetadataStore) -> Infallible {
    let mut discoveries = metadata.discoveries();
    let mut seen = 0;
    metadata.set_files(!roots.there().is_empty());
    loop {
        match discoveries.wait_for(|now| now.all != seen).await.map(|now| now.all) {
            Ok(now) => seen = now,
            // This task holds the store itself, so the channel cannot close.
            Err(_) => std::future::pending().await,
        }
        // The directories may have been mounted or created meanwhile.
        metadata.set_files(!roots.there().is_empty());
        if metadata.any_connected() {
            tokio::time::sleep(NAME_GRACE_PERIOD).await;
        }
        let unresolved = metadata.take_unresolved();
        if unresolved.is_empty() {
            continue;
        }
        match reader.as_ref().map(|reader| reader.try_send(unresolved)) {
            // The disk hangs; these containers stay without metadata.
            Some(Err(TrySendError::Full(_))) => {
                tracing::debug!("too many containers wait for files to be read; these stay without names");
            }
            // The thread ends only with this sender.
            Some(Err(TrySendError::Disconnected(_)) | Ok(())) | None => {}
        }
    }
}

/// Starts the thread that reads files. `filter` has the labels to keep. Must be called on a thread that may open files,
/// because threads inherit that restriction.
pub fn start(roots: &Paths, filter: &[String], metadata: &MetadataStore) -> Lists {
    let (sender, receiver) = mpsc::sync_channel(LISTS_MAX);
    let (roots, filter, metadata) = (roots.clone(), filter.to_vec(), metadata.clone());
    let thread = std::thread::Builder::new().name("glassbox-files".into());
    let started = thread.spawn(move || {
        let mut reader = Reader { roots, filter, metadata, again: VecDeque::new() };
        // The panic itself is logged.
        while catch_unwind(AssertUnwindSafe(|| reader.run(&receiver))).is_err() {
            tracing::warn!(
                "the thread that reads metadata files continues without the containers of that lookup"
            );
            reader.again.clear();
        }
    });
    started
        .inspect_err(|error| tracing::warn!("start the thread that reads metadata files: {error}"))
        .ok()?;
    Some(sender)
}

struct Reader {
    roots: Paths,
    filter: Vec<String>,
    metadata: MetadataStore,
    /// The containers to look up again: when, how often they were looked up, and which.
    again: VecDeque<(Instant, usize, Unresolved)>,
}

impl Reader {
    fn run(&mut self, lists: &Receiver<Vec<Unresolved>>) {
        loop {
            let next = self.again.iter().map(|(due, _, _)| *due).min();
            let list = match next {
                Some(due) => lists.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => lists.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match list {
                Ok(list) => list.into_iter().for_each(|unresolved| self.look_up(unresolved, 0)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            let (due, later): (VecDeque<_>, VecDeque<_>) =
                self.again.drain(..).partition(|(due, _, _)| *due <= now);
            self.again = later;
            for (_, tries, unresolved) in due {
                self.look_up(unresolved, tries);
            }
        }
    }

    fn look_up(&mut self, unresolved: Unresolved, tries: usize) {
        if self.metadata.get(&unresolved.id).is_some() {
            return;
        }
        if let Some(names) = self.roots.look_up(&unresolved, &self.filter) {
            self.metadata.put(&unresolved.id, names);
        } else if let Some(pause) = RETRY_DELAYS.get(tries)
            && self.again.len() < RETRIES_MAX
        {
            self.again.push_back((Instant::now() + *pause, tries + 1, unresolved));
        }
    }
}

/// Parses a JSON file. `None` if it is missing, not a regular file, larger than `most_bytes`, or invalid.
fn read<T: serde::de::DeserializeOwned>(path: &Path, most_bytes: u64) -> Option<T> {
    // Non-blocking, because opening a pipe without a writer would wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    let read = file.take(most_bytes + 1).read_to_end(&mut text).ok()?;
    if read as u64 > most_bytes {
        return None;
    }
    serde_json::from_slice(&text).ok()
}

/// The names in a directory; none if it cannot be read.
fn entries(path: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests;
