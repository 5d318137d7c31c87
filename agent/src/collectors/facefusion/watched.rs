//! One container with FaceFusion: its processes, its job files through inotify, and what its running jobs do.
//!
//! inotify reports each change of the files at once, so that jobs of a few milliseconds are counted, too.

use std::{
    os::fd::{AsRawFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use inotify::EventMask;

use super::{
    budget::Budget,
    failures::{Cause, Failures},
    file::{self, Unread},
    find::Process,
    frames::Frames,
    jobs::{Ended, Jobs, Key, Place, Seen},
    page::Page,
    phases::Phases,
    reading::Found,
    sampled::Sampled,
    store::{Start, Store},
    subject::Subject,
};
use crate::{
    containers::cgroup::Layout,
    snapshot::facefusion::{FaceFusion, Running},
};

/// Maximum number of processes that are kept: each costs a descriptor.
const PROCESSES_MAX: usize = 64;
/// Maximum number of files that are read again.
const AGAIN_MAX: usize = 64;
/// Bytes of events that are read at a time.
const EVENTS_BYTES: usize = 64 * 1024;
/// How often they are read in one update. The queue of an instance usually holds this many.
const BATCHES_MAX: usize = 8;
/// A job file that was written longer ago than this does not show when a step started: its time may be wrong.
const WRITTEN_MAX: Duration = Duration::from_secs(10);

/// Jobs that may have stopped with an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// All but this one, which has started.
    AllBut(Key),
    All,
}

/// A container that runs or has run FaceFusion.
pub(super) struct Watched {
    subject: Arc<Subject>,
    processes: Vec<Process>,
    store: Store,
    pub(super) jobs: Jobs,
    sampled: Sampled,
    phases: Option<Phases>,
    failures: Failures,
    page: Page,
    /// `None` if no running job is in doubt.
    doubt: Option<Doubt>,
    frames: Option<Frames>,
    /// Files that could not be parsed: they may have been half written.
    again: Vec<(Place, PathBuf)>,
    /// What this update may still read.
    budget: Budget,
}

impl Watched {
    pub(super) fn new(subject: Arc<Subject>) -> Self {
        let page = Page::new(subject.noted());
        Self {
            subject,
            processes: Vec::new(),
            store: Store::new(),
            jobs: Jobs::default(),
            sampled: Sampled::default(),
            phases: None,
            failures: Failures::default(),
            page,
            doubt: None,
            frames: None,
            again: Vec::new(),
            budget: Budget::default(),
        }
    }

    /// True if FaceFusion runs, or has had a directory for jobs here. Then its counters stay, even if that is not watched now.
    pub(super) fn is_used(&self) -> bool {
        !self.processes.is_empty() || self.store.was_opened()
    }

    /// True if nothing changes here but by changes of files, and by processes that start or end.
    pub(super) fn is_settled(&self) -> bool {
        let has_pending = !self.again.is_empty() || self.store.is_stale || self.doubt.is_some();
        !has_pending && self.failures.are_decided() && self.jobs.are_settled()
    }

    /// Becomes readable when files have changed.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.store.inotify.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// True if a process has ended since the last call of [`Self::follow`].
    pub(super) fn has_ended_process(&self) -> bool {
        self.processes.iter().any(|process| !process.is_alive())
    }

    /// True if a job may have stopped with an exception. [`Self::follow`] decides it: several processes run several jobs.
    pub(super) const fn may_have_stopped(&self) -> bool {
        self.doubt.is_some()
    }

    /// Removes processes that have ended, and adds those that have started.
    pub(super) fn follow(&mut self, started: Vec<Process>, proc_root: &Path, now: Instant) {
        let had_one = !self.processes.is_empty();
        self.processes.retain(Process::is_alive);
        if had_one && self.processes.is_empty() {
            // A job may have ended just before its process.
            self.handle_events(now);
            self.stop_jobs(Cause::Exit, None, now);
        }
        if self.processes.is_empty() && !started.is_empty() {
            self.store.restarted();
        }
        for process in started {
            let is_known = self.processes.iter().any(|known| known.id() == process.id());
            if !is_known && self.processes.len() < PROCESSES_MAX {
                self.processes.push(process);
            }
        }
        self.decide_doubt(now);
        self.open_if_stale(proc_root, now);
    }

    /// One process runs one job at a time.
    fn decide_doubt(&mut self, now: Instant) {
        match self.doubt.take().filter(|_| self.is_single()) {
            Some(Doubt::AllBut(key)) => self.stop_jobs(Cause::Exception, Some(key), now),
            Some(Doubt::All) => self.stop_jobs(Cause::Exception, None, now),
            None => {}
        }
    }

    /// True if one FaceFusion runs here, perhaps started by a program that has its command line, too.
    fn is_single(&self) -> bool {
        let is_child = |process: &Process| self.processes.iter().any(|other| process.is_child_of(other));
        self.processes.iter().filter(|process| !is_child(process)).count() == 1
    }

    /// The running jobs have stopped, except the one with this key.
    fn stop_jobs(&mut self, cause: Cause, except: Option<Key>, now: Instant) {
        for key in self.jobs.stop(except) {
            self.failures.add(cause, key, &self.subject, &mut self.jobs, None, now);
        }
    }

    /// Opens the directories and watches them, unless they are watched.
    fn open_if_stale(&mut self, proc_root: &Path, now: Instant) {
        if !self.store.is_due(now) {
            return;
        }
        let Some(location) = self.processes.iter().find_map(|process| process.store(proc_root).ok()) else {
            return;
        };
        // `None` if that of any is unknown.
        let at = self.processes.iter().map(Process::started).min().flatten();
        let known = SystemTime::now().checked_sub(self.subject.since.elapsed());
        let is_later = at.zip(known).is_some_and(|(at, known)| at >= known);
        let in_known_container = self.subject.is_new || is_later;
        let start = Start { at, in_known_container, is_single: self.is_single() };
        let before = self.jobs.present().running;
        self.store.open(&location, &mut self.jobs, start, &mut self.budget, now);
        if self.jobs.present().running > before {
            self.page = Page::new(self.subject.noted());
            self.phases = None;
        }
    }

    /// Why its jobs are not counted.
    pub(super) fn limitation(&self) -> Option<String> {
        let error = self.store.error.as_ref().filter(|_| !self.processes.is_empty())?;
        Some(format!(
            "cannot watch the FaceFusion jobs of container {}: {error}; its jobs are not counted; see \
             fs.inotify.max_user_instances and max_user_watches",
            self.subject.id
        ))
    }

    /// Handles changes of files.
    pub(super) fn handle_changes(&mut self, proc_root: &Path, now: Instant) {
        self.budget = Budget::default();
        self.read_again(now);
        self.handle_events(now);
        self.open_if_stale(proc_root, now);
        if self.jobs.present().running > 0 && self.page.has_failed(self.subject.noted()) {
            self.doubt = Some(Doubt::All);
        }
    }

    /// Samples what runs, and finds the reasons of failures.
    pub(super) fn sample(&mut self, layout: &Layout, proc_root: &Path, now: Instant) {
        let keys = self.jobs.running();
        self.failures.follow(&keys, &self.subject);
        if keys.is_empty() {
            (self.phases, self.frames, self.sampled) = (None, None, Sampled::default());
        } else {
            let running = self.sampled.sample(layout, proc_root, &self.subject.cgroup_path, now);
            Frames::follow(&mut self.frames, &running, proc_root);
            let files = self.frames.as_mut().map(Frames::read);
            let phases = self.phases.get_or_insert_with(|| Phases::new(None, now));
            phases.sample(&running, files, &mut self.jobs.counters, now);
        }
        self.failures.decide(&self.subject, &mut self.jobs, now);
        self.jobs.tidy(now);
    }

    /// Handles the changes that inotify has reported, until none is left or the budget is spent.
    fn handle_events(&mut self, now: Instant) {
        let until = SystemTime::now();
        for _ in 0..BATCHES_MAX {
            if self.budget.is_spent() {
                return;
            }
            if !self.handle_batch(now) {
                self.store.handled(until);
                return;
            }
        }
    }

    /// Returns false if there was no change.
    fn handle_batch(&mut self, now: Instant) -> bool {
        let mut buffer = [0; EVENTS_BYTES];
        let Some(inotify) = &mut self.store.inotify else { return false };
        let events: Vec<_> = match inotify.read_events(&mut buffer) {
            Ok(events) => events.map(|event| event.to_owned()).collect(),
            Err(_) => return false,
        };
        let has_changes = !events.is_empty();
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                self.store.lost_events();
                self.jobs.counters.ignored.too_many += 1;
                continue;
            }
            let place =
                self.store.places.iter().find(|(watch, ..)| *watch == event.wd).map(|(_, place, _)| *place);
            let (Some(place), Some(name)) = (place, event.name) else {
                // The directory of a place, or the one with the jobs, was created, replaced or removed.
                self.store.is_stale = true;
                continue;
            };
            if let Some(key) = self.store.key(&name) {
                self.handle(place, key, Path::new(&name), event.mask, now);
            }
        }
        has_changes
    }

    fn handle(&mut self, place: Place, key: Key, name: &Path, mask: EventMask, now: Instant) {
        if mask.intersects(EventMask::MOVED_FROM | EventMask::DELETE) {
            self.jobs.vanished(place, key, now);
            return;
        }
        if mask.intersects(EventMask::MOVED_TO | EventMask::CREATE)
            && self.store.is_special(place, name, &mut self.budget)
        {
            self.jobs.counters.ignored.special += 1;
            return;
        }
        let ended = if mask.intersects(EventMask::MOVED_TO | EventMask::CREATE) {
            self.jobs.appeared(place, key, now)
        } else {
            None
        };
        if place != Place::Drafted && mask.intersects(EventMask::MOVED_TO | EventMask::CLOSE_WRITE) {
            self.read(place, key, name, mask.contains(EventMask::CLOSE_WRITE), false, now);
        }
        if ended == Some(Ended::Failed) {
            let phases = self.phases.as_ref();
            self.failures.add(Cause::Failed, key, &self.subject, &mut self.jobs, phases, now);
        }
    }

    fn read(&mut self, place: Place, key: Key, name: &Path, was_written: bool, is_again: bool, now: Instant) {
        let Some((_, _, directory)) = self.store.places.iter().find(|(_, at, _)| *at == place) else {
            return;
        };
        let running = self.jobs.present().running;
        let ignored = &mut self.jobs.counters.ignored;
        match file::read(directory, name, &mut self.budget) {
            Ok(file) => {
                let has_step_started = self.jobs.read(key, &file, Seen::Change, now);
                self.note_start(key, running, has_step_started, file.modified, now);
            }
            // Its file has moved on already. FaceFusion writes to a queued job only when a step starts or ends.
            Err(Unread::Missing) if place == Place::Queued && was_written => {
                self.jobs.rewritten(key, now);
                self.note_start(key, running, false, None, now);
            }
            Err(Unread::Missing) => {}
            Err(Unread::Unreadable) if !is_again && self.again.len() < AGAIN_MAX => {
                self.again.push((place, name.to_owned()));
            }
            Err(Unread::Unreadable) => ignored.unreadable += 1,
            Err(Unread::TooLarge) => ignored.too_large += 1,
            Err(Unread::Special) => ignored.special += 1,
            Err(Unread::OverBudget) => ignored.too_many += 1,
        }
    }

    /// Notes whether this job or a step of it has started. `before` jobs were running; the file was written at this time.
    fn note_start(
        &mut self,
        key: Key,
        before: u64,
        has_step_started: bool,
        written: Option<SystemTime>,
        now: Instant,
    ) {
        let running = self.jobs.present().running;
        if running > before {
            self.page = Page::new(self.subject.noted());
            self.doubt = (before > 0).then_some(Doubt::AllBut(key));
        } else if !has_step_started || running == 0 {
            return;
        }
        self.failures.step_started(key, &self.subject);
        // Both times are those of the wall clock, like those of files and processes.
        let wall = SystemTime::now();
        let earliest = wall.checked_sub(WRITTEN_MAX);
        let since = written.filter(|at| earliest.is_some_and(|earliest| (earliest..=wall).contains(at)));
        match &mut self.phases {
            Some(phases) if before > 0 => phases.next_step(since),
            phases => *phases = Some(Phases::new(since, now)),
        }
    }

    fn read_again(&mut self, now: Instant) {
        for (place, name) in std::mem::take(&mut self.again) {
            if let Some(key) = self.store.key(name.as_os_str()).filter(|key| self.jobs.is_at(place, *key)) {
                self.read(place, key, &name, true, true, now);
            }
        }
    }

    /// What is known now.
    pub(super) fn found(&self, now: Instant) -> Found {
        let present = self.jobs.present();
        let current = self.phases.as_ref().map(|phases| Running {
            phase: phases.phase(),
            elapsed: present.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            frames_per_second: phases.frames_per_second(),
            progress_ratio: phases.progress_ratio(),
            video: phases.video(),
        });
        let shown = FaceFusion {
            counters: self.jobs.counters.clone(),
            drafted: present.drafted,
            queued: present.queued,
            running: present.running,
            stopped: present.stopped,
            current,
        };
        Found { shown, failures: self.failures.clone() }
    }
}

#[cfg(test)]
mod tests;
