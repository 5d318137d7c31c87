//! The directories of one store, watched through inotify, and the listing that finds what inotify does not report.
//!
//! Each container has an instance of its own with up to five watches. Nothing is watched through a symbolic link.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    time::{Duration, Instant, SystemTime},
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

/// The watches of the files.
#[derive(Default)]
pub(super) struct Store {
    pub(super) inotify: Option<Inotify>,
    /// Of the directory with the jobs, or of the one in which it is going to be created.
    top: Option<WatchDescriptor>,
    pub(super) places: Vec<(WatchDescriptor, Place, Directory)>,
    /// True if the files that are found now were there before the agent looked.
    pub(super) is_old: bool,
    /// True if directories have to be opened again.
    pub(super) is_stale: bool,
    /// When the directories were last listed because events were lost.
    pub(super) listed: Option<Instant>,
    /// Seed for the keys of jobs.
    hasher: RandomState,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { is_old: true, is_stale: true, ..Self::default() }
    }

    /// Watches the directories, and lists those that are new.
    ///
    /// FaceFusion has been running since `since`.
    pub(super) fn open(
        &mut self,
        location: &Location,
        jobs: &mut Jobs,
        since: Option<SystemTime>,
        budget: &mut Budget,
    ) -> io::Result<()> {
        self.is_stale = false;
        let inotify = match self.inotify.take() {
            Some(inotify) => inotify,
            None => Inotify::init()?,
        };
        let changed = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVE_SELF
            | WatchMask::DELETE_SELF
            | WatchMask::ONLYDIR;
        let top = match location {
            Location::Store(directory) | Location::Parent(directory) => {
                inotify.watches().add(directory.path(), changed)?
            }
        };
        if let Some(old) = self.top.replace(top.clone()).filter(|old| *old != top) {
            let _ = inotify.watches().remove(old);
        }
        let old = std::mem::take(&mut self.places);
        if let Location::Store(store) = location {
            for place in Place::ALL {
                let Ok(directory) = store.below(Path::new(place.directory())) else { continue };
                let files = WatchMask::CREATE
                    | WatchMask::MOVED_TO
                    | WatchMask::MOVED_FROM
                    | WatchMask::DELETE
                    | WatchMask::CLOSE_WRITE
                    | WatchMask::MOVE_SELF
                    | WatchMask::DELETE_SELF
                    | WatchMask::ONLYDIR;
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
        self.list(jobs, since, budget);
        self.is_old = false;
        Ok(())
    }

    /// Compares the files with the known jobs.
    fn list(&mut self, jobs: &mut Jobs, since: Option<SystemTime>, budget: &mut Budget) {
        let now = Instant::now();
        self.listed = Some(now);
        for (_, place, directory) in &self.places {
            let Ok(entries) = fs::read_dir(directory.path()) else { continue };
            let mut listed = 0;
            let mut gone: HashSet<Key> = jobs.keys_at(*place).into_iter().collect();
            for entry in entries.take(LISTED_MAX).flatten() {
                listed += 1;
                let name = entry.file_name();
                let Some(key) = self.key(&name) else { continue };
                if gone.remove(&key) {
                    continue;
                }
                if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    jobs.counters.ignored.special += 1;
                    continue;
                }
                if !self.is_old {
                    if jobs.appeared(*place, key, now) == Some(Ended::Failed) {
                        jobs.failed(FailureReason::Unknown);
                    }
                } else if matches!(place, Place::Drafted | Place::Queued) {
                    jobs.found(*place, key);
                }
                if *place != Place::Queued {
                    continue;
                }
                match file::read(directory, Path::new(&name), budget) {
                    Ok(file) => {
                        jobs.read(key, &file, self.seen(&file, since), now);
                    }
                    Err(Unread::OverBudget) => jobs.counters.ignored.too_many += 1,
                    Err(_) => {}
                }
            }
            if listed == LISTED_MAX {
                jobs.counters.ignored.too_many += 1;
            } else {
                gone.into_iter().for_each(|key| jobs.vanished(*place, key, now));
            }
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
