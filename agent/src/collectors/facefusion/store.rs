//! The directories of one store, watched through inotify, and the listing that finds what inotify does not report.
//!
//! Each container has an instance of its own with up to five watches. Nothing is watched through a symbolic link.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, DirEntry},
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use inotify::{Inotify, WatchDescriptor, WatchMask};

use super::{
    budget::Budget,
    file::{self, JobFile, Unread},
    find::Location,
    jobs::{Ended, Jobs, Key, Place, Seen},
};
use crate::{containers::directory::Directory, snapshot::facefusion::FailureReason};

/// Maximum number of entries of a directory that are listed.
const LISTED_MAX: usize = 8192;
/// The times of files and those of processes may differ by this much.
const SLACK: Duration = Duration::from_secs(1);
/// Minimum time between two attempts to open the directories after an error, and between two listings after lost events.
const PAUSE: Duration = Duration::from_secs(5);

/// The watches of the files.
#[derive(Default)]
pub(super) struct Store {
    pub(super) inotify: Option<Inotify>,
    /// Of the directory with the jobs, or of the one in which it is going to be created.
    top: Option<WatchDescriptor>,
    pub(super) places: Vec<(WatchDescriptor, Place, Directory)>,
    /// True if the files that are found now were there before the agent looked.
    is_old: bool,
    /// True if directories have to be opened again.
    pub(super) is_stale: bool,
    /// Not before this time.
    open_at: Option<Instant>,
    /// True if FaceFusion has started again since they were opened.
    is_restarted: bool,
    /// When they were last listed.
    listed: Option<Instant>,
    /// All files that appeared before this time are known, or have been.
    known_until: Option<SystemTime>,
    /// Why they cannot be watched. Without a path.
    pub(super) error: Option<String>,
    /// Seed for the keys of jobs.
    hasher: RandomState,
}

/// The start of the FaceFusion process that has been running for the longest time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// `None` if that is unknown.
    pub(super) at: Option<SystemTime>,
    /// True if this agent knew the container by then. So no agent before this one has counted the jobs that have ended since.
    pub(super) in_known_container: bool,
    /// True if it is the only one, so that one job is running at most.
    pub(super) is_single: bool,
}

/// What a listing needs.
struct Listing<'a> {
    jobs: &'a mut Jobs,
    budget: &'a mut Budget,
    start: Start,
    now: Instant,
    /// True if the first listing has found more ended jobs than the budget allows.
    is_cut: bool,
    /// The queued job with the file that was written last, and when that was.
    latest: Option<(SystemTime, Key)>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { is_old: true, is_stale: true, ..Self::default() }
    }

    pub(super) const fn was_opened(&self) -> bool {
        self.listed.is_some()
    }

    /// Whether to open the directories now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_stale && self.open_at.is_none_or(|at| at <= now)
    }

    /// FaceFusion has started again: its store may be another one.
    pub(super) const fn restarted(&mut self) {
        (self.is_stale, self.is_restarted) = (true, true);
    }

    /// Events were lost. The directories are listed, at most every [`PAUSE`].
    pub(super) fn lost_events(&mut self) {
        self.is_stale = true;
        self.open_at = self.open_at.max(self.listed.map(|at| at + PAUSE));
    }

    /// All events up to this time were handled.
    pub(super) fn handled(&mut self, until: SystemTime) {
        if !self.is_stale && self.inotify.is_some() {
            self.known_until = Some(until);
        }
    }

    /// Watches the directories, and lists them.
    pub(super) fn open(
        &mut self,
        location: &Location,
        jobs: &mut Jobs,
        start: Start,
        budget: &mut Budget,
        now: Instant,
    ) {
        if let Err(error) = self.watch(location) {
            // The watches are gone with their instance.
            (self.inotify, self.top) = (None, None);
            self.places.clear();
            self.failed(&error, now);
            return;
        }
        (self.is_stale, self.is_restarted, self.open_at, self.error) = (false, false, None, None);
        let begun = SystemTime::now();
        let mut listing = Listing { jobs, budget, start, now, is_cut: false, latest: None };
        self.list(&mut listing);
        if self.is_old && start.is_single {
            // The others were stopped by an exception. An agent before this one has counted them.
            listing.jobs.stop(listing.latest.map(|(_, key)| key));
        }
        (self.is_old, self.listed, self.known_until) = (false, Some(now), Some(begun));
    }

    fn failed(&mut self, error: &io::Error, now: Instant) {
        // A directory may have been removed just now.
        if error.kind() != io::ErrorKind::NotFound {
            self.open_at = Some(now + PAUSE);
            let text = error.raw_os_error().map_or_else(|| error.kind().to_string(), |_| error.to_string());
            self.error = Some(text);
        }
    }

    fn watch(&mut self, location: &Location) -> io::Result<()> {
        let inotify = match self.inotify.take() {
            Some(inotify) => inotify,
            None => Inotify::init()?,
        };
        let old = std::mem::take(&mut self.places);
        let (Location::Store(top) | Location::Parent(top)) = location;
        let top = inotify.watches().add(top.path(), of_directory())?;
        if let Some(former) = self.top.replace(top.clone()).filter(|former| *former != top) {
            let _ = inotify.watches().remove(former);
            let was_store = !old.is_empty();
            self.is_old |= self.is_restarted && was_store && matches!(location, Location::Store(_));
        }
        if let Location::Store(store) = location {
            for place in Place::ALL {
                let Ok(directory) = store.below(Path::new(place.directory())) else { continue };
                let files =
                    of_directory() | WatchMask::MOVED_FROM | WatchMask::DELETE | WatchMask::CLOSE_WRITE;
                let watch = inotify.watches().add(directory.path(), files)?;
                self.places.push((watch, place, directory));
            }
        }
        for (watch, ..) in old {
            if !self.places.iter().any(|(current, ..)| *current == watch) {
                let _ = inotify.watches().remove(watch);
            }
        }
        self.inotify = Some(inotify);
        Ok(())
    }

    /// Compares the files with the known jobs.
    fn list(&self, listing: &mut Listing<'_>) {
        for (_, place, directory) in &self.places {
            let Ok(entries) = fs::read_dir(directory.path()) else { continue };
            let mut listed = 0;
            let mut gone: HashSet<Key> = listing.jobs.keys_at(*place).into_iter().collect();
            for entry in entries.take(LISTED_MAX).flatten() {
                listed += 1;
                let Some(key) = self.key(&entry.file_name()) else { continue };
                if gone.remove(&key) {
                    continue;
                }
                if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    listing.jobs.counters.ignored.special += 1;
                    continue;
                }
                match place {
                    Place::Drafted | Place::Queued => self.unfinished(*place, key, listing),
                    Place::Completed | Place::Failed => self.ended(*place, key, &entry, listing),
                }
                if *place == Place::Queued {
                    self.read(directory, key, Path::new(&entry.file_name()), listing);
                }
            }
            if listed == LISTED_MAX {
                listing.jobs.counters.ignored.too_many += 1;
            } else {
                gone.into_iter().for_each(|key| listing.jobs.vanished(*place, key, listing.now));
            }
        }
    }

    /// A listing has found a job that has not ended.
    fn unfinished(&self, place: Place, key: Key, listing: &mut Listing<'_>) {
        if self.is_old {
            listing.jobs.found(place, key);
        } else {
            listing.jobs.appeared(place, key, listing.now);
        }
    }

    /// A listing has found a job that has ended. It is counted if it has ended since all files were known: the jobs that ended
    /// before are not kept. In the first listing, it is counted if it has ended since FaceFusion started.
    fn ended(&self, place: Place, key: Key, entry: &DirEntry, listing: &mut Listing<'_>) {
        let start = listing.start.at.filter(|_| listing.start.in_known_container);
        let new_from = if self.is_old { start } else { self.known_until };
        if self.is_old || !listing.jobs.is_known(key) {
            let Some(new_from) = new_from else { return };
            if listing.budget.is_spent() {
                // Those of the first listing are probably old jobs.
                let is_counted = !self.is_old || !listing.is_cut;
                listing.jobs.counters.ignored.too_many += u64::from(is_counted);
                listing.is_cut = true;
                return;
            }
            let begun = Instant::now();
            let changed = changed(entry);
            listing.budget.spend(0, begun);
            if changed.is_none_or(|changed| changed < new_from) {
                return;
            }
        }
        if listing.jobs.appeared(place, key, listing.now) == Some(Ended::Failed) {
            listing.jobs.counters.failed[FailureReason::Unknown as usize] += 1;
        }
    }

    /// Reads the file of a queued job that a listing has found.
    fn read(&self, directory: &Directory, key: Key, name: &Path, listing: &mut Listing<'_>) {
        match file::read(directory, name, listing.budget) {
            Ok(file) => {
                listing.jobs.read(key, &file, self.seen(&file, listing.start.at), listing.now);
                listing.latest = listing.latest.max(file.modified.map(|modified| (modified, key)));
            }
            Err(Unread::OverBudget) => listing.jobs.counters.ignored.too_many += 1,
            Err(_) => {}
        }
    }

    /// What the content of a file means that is found in a listing.
    fn seen(&self, file: &JobFile, since: Option<SystemTime>) -> Seen {
        let is_left_over = match (file.modified, since) {
            (Some(modified), Some(since)) => modified.checked_add(SLACK).is_some_and(|end| end < since),
            _ => false,
        };
        match (is_left_over, self.is_old) {
            (true, _) => Seen::LeftOver,
            (false, true) => Seen::Before,
            (false, false) => Seen::Change,
        }
    }

    /// Whether the entry with this name is a link, a directory or another special file. False if it has moved on.
    pub(super) fn is_special(&self, place: Place, name: &Path, budget: &mut Budget) -> bool {
        let begun = Instant::now();
        let directory = self.places.iter().find(|(_, at, _)| *at == place).map(|(.., directory)| directory);
        let found = directory.map(|directory| fs::symlink_metadata(directory.path().join(name)));
        budget.spend(0, begun);
        found.and_then(Result::ok).is_some_and(|metadata| !metadata.is_file())
    }

    /// The key of a job with this file name; `None` if it is no name of a job.
    pub(super) fn key(&self, name: &OsStr) -> Option<Key> {
        name.as_bytes().ends_with(b".json").then(|| self.hasher.hash_one(name.as_bytes()))
    }
}

/// What is watched of a directory.
fn of_directory() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::MOVED_TO
        | WatchMask::MOVE_SELF
        | WatchMask::DELETE_SELF
        | WatchMask::ONLYDIR
}

/// When a file was last created, written or moved, and [`SLACK`].
fn changed(entry: &DirEntry) -> Option<SystemTime> {
    let metadata = entry.metadata().ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?.checked_add(SLACK)
}

#[cfg(test)]
mod tests;
