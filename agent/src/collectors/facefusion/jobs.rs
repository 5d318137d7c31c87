//! The jobs of one store: how their files appear, change, move and vanish, and what that means. Pure: it opens no file.
//!
//! FaceFusion keeps a job in one file, which it moves through the directories `drafted`, `queued`, and `completed` or `failed`.
//! It rewrites the file, not atomically, whenever the status of a step changes. A job starts when its first step does.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use glassbox_ebpf::histogram;

use super::file::{JobFile, StepStatus};
use crate::snapshot::{facefusion::FaceFusionCounters, scheduler::Histogram};

/// Maximum number of jobs of one container that are followed.
const JOBS_MAX: usize = 4096;
/// A job whose file has vanished is kept for this long: the file may appear in another directory.
const MOVING: Duration = Duration::from_secs(2);

/// A directory of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Drafted,
    Queued,
    Completed,
    Failed,
}

impl Place {
    pub(super) const ALL: [Self; 4] = [Self::Drafted, Self::Queued, Self::Completed, Self::Failed];

    /// The name of the directory.
    pub(super) const fn directory(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Queued => "queued",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Identifies a job: a hash of its file name. The name itself is not kept.
pub(super) type Key = u64;

/// The jobs of one store.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: HashMap<Key, Job>,
    pub(super) counters: FaceFusionCounters,
}

#[derive(Debug)]
struct Job {
    place: Place,
    /// When its file vanished from that place.
    gone: Option<Instant>,
    /// When it was submitted; `None` if that was not seen.
    queued: Option<Instant>,
    /// When its first step started; `None` if it has not, or that was not seen.
    started: Option<Instant>,
    activity: Activity,
    /// The status of its steps when the file was last read.
    steps: Vec<StepStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// No step has started, or the job has ended.
    None,
    /// A step has started.
    Running,
    /// It has stopped without an end, and has not started again.
    Stopped,
}

/// Numbers of jobs by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) drafted: u64,
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) stopped: u64,
    /// When the job started that has been running for the longest time.
    pub(super) since: Option<Instant>,
}

/// What the content of a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The file has changed.
    Change,
    /// The file was there before the store was watched.
    Before,
    /// The file was there before, and FaceFusion has not written it since it started. The job does not run, even if one of its
    /// steps has started: FaceFusion ended before that step did.
    LeftOver,
}

/// A job that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Completed,
    /// It is counted with its reason by [`super::failures`].
    Failed,
}

impl Jobs {
    /// Records a file that was there before the store was watched. It is not counted.
    pub(super) fn found(&mut self, place: Place, key: Key) {
        self.enter(place, key);
    }

    /// The file of a job has appeared in a directory. Returns whether the job has ended.
    pub(super) fn appeared(&mut self, place: Place, key: Key, now: Instant) -> Option<Ended> {
        let before = self.jobs.get(&key).map(|job| (job.place, job.gone.is_some()));
        if before == Some((place, false)) {
            return None;
        }
        self.enter(place, key)?;
        let (counters, job) = (&mut self.counters, self.jobs.get_mut(&key)?);
        match place {
            Place::Drafted => None,
            Place::Queued => {
                counters.retries += u64::from(before.is_some_and(|(place, _)| place == Place::Failed));
                (job.queued, job.started, job.activity) = (Some(now), None, Activity::None);
                job.steps.iter_mut().for_each(|step| *step = StepStatus::Queued);
                None
            }
            Place::Completed | Place::Failed => {
                job.activity = Activity::None;
                if let Some(started) = job.started.take() {
                    count(&mut counters.durations, now.saturating_duration_since(started));
                }
                if place == Place::Failed {
                    return Some(Ended::Failed);
                }
                counters.completed += 1;
                Some(Ended::Completed)
            }
        }
    }

    /// The file of a job has vanished from a directory: it was moved or deleted.
    pub(super) fn vanished(&mut self, place: Place, key: Key, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&key).filter(|job| job.place == place) {
            job.gone = Some(now);
        }
    }

    /// The file of a job was read. Returns true if a step has started.
    pub(super) fn read(&mut self, key: Key, file: &JobFile, seen: Seen, now: Instant) -> bool {
        let Some(job) = self.jobs.get_mut(&key) else { return false };
        let is_new = seen == Seen::Change;
        let step_started = is_new && job.count_steps(file, &mut self.counters);
        job.steps.clear();
        job.steps.extend(file.steps.iter().map(|step| step.status));
        if seen == Seen::LeftOver {
            job.stop();
            return false;
        }
        let is_running = job.place == Place::Queued && job.steps.iter().any(|step| step.has_started());
        if is_running && !job.is_running() {
            job.start(is_new.then_some(now), &mut self.counters);
        }
        step_started
    }

    /// The file of a queued job was rewritten and has moved on before it could be read. FaceFusion rewrites it only when a step
    /// starts or ends.
    pub(super) fn rewritten(&mut self, key: Key, now: Instant) {
        if let Some(job) =
            self.jobs.get_mut(&key).filter(|job| job.place == Place::Queued && !job.is_running())
        {
            job.start(Some(now), &mut self.counters);
        }
    }

    /// The running jobs have stopped without an end, except the one with this key. Their files stay where they are. Returns
    /// their keys.
    pub(super) fn stop(&mut self, except: Option<Key>) -> Vec<Key> {
        let running = self.jobs.iter_mut().filter(|(key, job)| job.is_running() && Some(**key) != except);
        let stopped = running.map(|(key, job)| {
            job.stop();
            *key
        });
        stopped.collect()
    }

    /// True if no job is running, and no file is on its way to another directory.
    pub(super) fn are_settled(&self) -> bool {
        self.jobs.values().all(|job| !job.is_running() && job.gone.is_none())
    }

    /// The running jobs.
    pub(super) fn running(&self) -> HashSet<Key> {
        self.jobs.iter().filter(|(_, job)| job.is_running()).map(|(key, _)| *key).collect()
    }

    /// Forgets jobs whose files were deleted.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.jobs.retain(|_, job| job.gone.is_none_or(|gone| now.saturating_duration_since(gone) < MOVING));
    }

    pub(super) fn present(&self) -> Present {
        let mut present = Present::default();
        for job in self.jobs.values().filter(|job| job.gone.is_none()) {
            match job.place {
                Place::Drafted => present.drafted += 1,
                Place::Queued if job.is_running() => {
                    present.running += 1;
                    present.since = [present.since, job.started].into_iter().flatten().min();
                }
                Place::Queued if job.activity == Activity::Stopped => present.stopped += 1,
                Place::Queued => present.queued += 1,
                Place::Completed | Place::Failed => {}
            }
        }
        present
    }

    /// Whether a job is known that is in this directory.
    pub(super) fn is_at(&self, place: Place, key: Key) -> bool {
        self.jobs.get(&key).is_some_and(|job| job.place == place && job.gone.is_none())
    }

    /// Whether a job is known.
    pub(super) fn is_known(&self, key: Key) -> bool {
        self.jobs.contains_key(&key)
    }

    /// The jobs whose files are in this directory.
    pub(super) fn keys_at(&self, place: Place) -> Vec<Key> {
        let at = self.jobs.iter().filter(|(_, job)| job.place == place && job.gone.is_none());
        at.map(|(key, _)| *key).collect()
    }

    /// Enters a job at a place. `None` if there are too many.
    fn enter(&mut self, place: Place, key: Key) -> Option<()> {
        if let Some(job) = self.jobs.get_mut(&key) {
            (job.place, job.gone) = (place, None);
            return Some(());
        }
        if self.jobs.len() >= JOBS_MAX && !self.make_room() {
            self.counters.ignored.too_many += 1;
            return None;
        }
        let job = Job {
            place,
            gone: None,
            queued: None,
            started: None,
            activity: Activity::None,
            steps: Vec::new(),
        };
        self.jobs.insert(key, job);
        Some(())
    }

    /// Forgets all jobs that have ended, which may only be retried or deleted, and those whose file has vanished.
    fn make_room(&mut self) -> bool {
        self.jobs
            .retain(|_, job| job.gone.is_none() && !matches!(job.place, Place::Completed | Place::Failed));
        self.jobs.len() < JOBS_MAX
    }
}

impl Job {
    fn is_running(&self) -> bool {
        self.activity == Activity::Running
    }

    /// Counts the steps that have started or ended since the file was last read. Returns true if a step has started.
    fn count_steps(&self, file: &JobFile, counters: &mut FaceFusionCounters) -> bool {
        let mut has_one_started = false;
        for (position, step) in file.steps.iter().enumerate() {
            let before = self.steps.get(position).copied().unwrap_or(StepStatus::Drafted);
            if before == step.status {
                continue;
            }
            // A step that ends between two readings has started, too. An ended step may start again.
            let has_started =
                step.status == StepStatus::Started || (step.status.has_started() && !before.has_started());
            if has_started {
                has_one_started = true;
                for (count, is_used) in counters.processors.iter_mut().zip(step.processors) {
                    *count += u64::from(is_used);
                }
            }
            counters.steps_completed += u64::from(step.status == StepStatus::Completed);
            counters.steps_failed += u64::from(step.status == StepStatus::Failed);
        }
        has_one_started
    }

    /// It has stopped without an end. Its file stays as it is until the job runs again.
    fn stop(&mut self) {
        // A left-over job of which no step has started waits like any other.
        let has_started = self.steps.iter().any(|step| step.has_started());
        self.activity = if has_started { Activity::Stopped } else { Activity::None };
        (self.started, self.queued) = (None, None);
        // When the job runs again, each of them starts once more.
        for step in self.steps.iter_mut().filter(|step| **step == StepStatus::Started) {
            *step = StepStatus::Queued;
        }
    }

    /// It starts now; `None` if it has started at an unknown time.
    fn start(&mut self, now: Option<Instant>, counters: &mut FaceFusionCounters) {
        (self.activity, self.started) = (Activity::Running, now);
        if let (Some(now), Some(queued)) = (now, self.queued) {
            count(&mut counters.queue_waits, now.saturating_duration_since(queued));
        }
    }
}

fn count(histogram: &mut Histogram, duration: Duration) {
    let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    histogram.sum_ns = histogram.sum_ns.saturating_add(duration_ns);
    histogram.buckets[histogram::bucket(duration_ns)] += 1;
}

#[cfg(test)]
mod tests;
