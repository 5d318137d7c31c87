//! Data that the thread and the tick exchange.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    collectors::shared,
    snapshot::{
        ContainerRow,
        facefusion::{ByReason, FaceFusion, FailureReason},
        jobs::Outcome,
        programs::result,
    },
};

/// A container to look at.
#[derive(Debug)]
pub(super) struct Subject {
    /// The container ID.
    pub(super) id: String,
    /// The path of its cgroup.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
    /// True if the agent saw its start. So no agent before this one has counted its jobs.
    pub(super) is_new: bool,
    noted: Mutex<Noted>,
}

/// What the last tick noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    pub(super) signs: Signs,
    /// CPU time of its processes so far; `None` if that is unknown.
    pub(super) cpu_time: Option<Duration>,
    /// Number of ticks so far.
    pub(super) ticks: u64,
}

impl Subject {
    pub(super) fn new(id: String, cgroup_path: String, is_new: bool) -> Self {
        Self { id, cgroup_path, since: Instant::now(), is_new, noted: Mutex::default() }
    }

    /// Called once per tick.
    pub(super) fn note(&self, signs: Signs, cpu_time: Option<Duration>) {
        let mut noted = self.lock();
        *noted = Noted { signs, cpu_time, ticks: noted.ticks + 1 };
    }

    /// What the last tick noted.
    pub(super) fn noted(&self) -> Noted {
        *self.lock()
    }

    /// It is held only while it is copied.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What other collectors have counted in a container, and what may be the reason of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Allocations of GPU memory that the driver has refused.
    pub(super) refused: u64,
    /// Processes of ffmpeg that ended with an error. `None` if they are not counted, or none was started.
    pub(super) errors: Option<u64>,
    /// Processes of ffmpeg that ended by a signal.
    pub(super) signals: u64,
    /// The jobs of the Gradio page; `None` if it has had none, or they are not followed.
    pub(super) page: Option<PageJobs>,
}

/// The jobs of a Gradio page. A job of FaceFusion that was started on the page runs within one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageJobs {
    /// Jobs that have not ended.
    pub(super) in_flight: u64,
    /// Jobs that ended with an exception.
    pub(super) errors: u64,
}

impl Signs {
    /// The signs in a row that the other collectors have filled.
    pub(super) fn of(row: &ContainerRow) -> Self {
        let ffmpeg = row.programs.iter().find(|program| &*program.name == "ffmpeg");
        let exits = |result: usize| ffmpeg.map(|ffmpeg| ffmpeg.counters.exits[result]);
        let page = row.jobs.as_ref().map(|jobs| PageJobs {
            in_flight: jobs.in_flight.total(),
            errors: jobs.functions.iter().map(|one| one.counters.ended[Outcome::Error as usize]).sum(),
        });
        Self {
            refused: row.nvidia_driver.as_ref().map_or(0, |driver| driver.counters.refused()),
            errors: exits(result::ERROR),
            signals: exits(result::SIGNAL).unwrap_or(0),
            page,
        }
    }
}

/// The result of one look at all containers.
#[derive(Debug)]
pub(super) struct Reading {
    /// When it was published.
    pub(super) taken: Instant,
    /// The containers with FaceFusion, by their keys.
    pub(super) containers: HashMap<u64, Found>,
    /// Why jobs of a container are not counted.
    pub(super) limitation: Option<String>,
}

/// What is known of a container with FaceFusion.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// What the snapshot shows.
    pub(super) shown: FaceFusion,
    /// Jobs that are not counted yet.
    pub(super) undecided: Undecided,
    /// Allocations of GPU memory that had been refused before the running jobs; `None` if that is unknown.
    pub(super) refused_before: Option<u64>,
}

/// Jobs of which the reason is not decided yet, by the reason as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undecided {
    pub(super) failed: ByReason,
    pub(super) abandoned: ByReason,
}

impl Found {
    /// What the snapshot shows after the container has ended, with its last signs: reasons are decided, and no job is running.
    fn at_end(&self, signs: Signs) -> FaceFusion {
        let mut ended = self.shown.clone();
        let counters = &mut ended.counters;
        let Undecided { failed, abandoned } = self.undecided;
        for (counts, undecided) in [(&mut counters.failed, failed), (&mut counters.abandoned, abandoned)] {
            counts.iter_mut().zip(undecided).for_each(|(count, more)| *count = count.saturating_add(more));
        }
        let is_refused = self.refused_before.is_some_and(|before| signs.refused > before);
        let reason = if is_refused { FailureReason::GpuMemory } else { FailureReason::Unknown };
        let count = &mut counters.abandoned[reason as usize];
        *count = count.saturating_add(ended.running);
        ended.queued = ended.queued.saturating_add(ended.running);
        FaceFusion { running: 0, current: None, ..ended }
    }
}

impl Reading {
    /// The thread hangs if it has published no reading for this long: twice as long as it rests at most.
    const HANGING: Duration = Duration::from_secs(30);

    /// Whether the thread hangs in a file system of a container.
    pub(super) fn hangs(&self) -> bool {
        self.taken.elapsed() >= Self::HANGING
    }

    /// What is known of the container with this key. What the running job does is unknown if the thread hangs.
    pub(super) fn of(&self, key: u64) -> Option<FaceFusion> {
        let mut found = self.containers.get(&key)?.shown.clone();
        found.current = found.current.filter(|_| !self.hangs());
        Some(found)
    }

    /// The same for a container that has ended, with its last signs.
    pub(super) fn at_end(&self, key: u64, signs: Signs) -> Option<FaceFusion> {
        self.containers.get(&key).map(|found| found.at_end(signs))
    }
}

/// Containers by their keys.
pub(super) type Subjects = shared::Subjects<Subject>;

/// State shared by the tick and the thread.
pub(super) type Shared = shared::Shared<Subject, Reading>;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::snapshot::{
        facefusion::{Phase, Running},
        identity::Identity,
        nvidia_driver::{DriverCounters, DriverUsage},
    };

    #[test]
    fn while_the_thread_hangs_jobs_stay_and_the_running_one_has_no_speed() {
        let current = Running {
            phase: Phase::Process,
            elapsed: Duration::from_secs(1),
            frames_per_second: Some(20.0),
            progress_ratio: Some(0.5),
            video: None,
        };
        let shown = FaceFusion { running: 1, current: Some(current), ..FaceFusion::default() };
        let found = Found { shown, ..Found::default() };
        let mut reading =
            Reading { taken: Instant::now(), containers: HashMap::from([(1, found)]), limitation: None };
        let seen = |reading: &Reading| reading.of(1).map(|found| (found.running, found.current.is_some()));
        assert_eq!((reading.hangs(), seen(&reading)), (false, Some((1, true))));
        reading.taken = Instant::now().checked_sub(Reading::HANGING).expect("the host is older");
        assert_eq!((reading.hangs(), seen(&reading)), (true, Some((1, false))));
    }

    #[test]
    fn jobs_end_with_their_container() {
        let mut shown = FaceFusion { queued: 1, running: 2, ..FaceFusion::default() };
        shown.counters.failed[FailureReason::Unknown as usize] = 1;
        let mut found = Found { shown, ..Found::default() };
        found.undecided.failed[FailureReason::GpuMemory as usize] = 1;
        found.refused_before = Some(3);
        let reading =
            Reading { taken: Instant::now(), containers: HashMap::from([(1, found)]), limitation: None };
        let at_end = |refused| reading.at_end(1, Signs { refused, ..Signs::default() }).unwrap();
        let ended = at_end(3);
        assert_eq!((ended.counters.failed, ended.counters.abandoned), ([0, 1, 0, 1], [0, 0, 0, 2]));
        assert_eq!((ended.queued, ended.running, ended.current), (3, 0, None));
        assert_eq!(reading.of(1).unwrap().counters.failed, [0, 0, 0, 1], "not decided while it lives");
        assert_eq!(at_end(4).counters.abandoned, [0, 2, 0, 0]);
        assert_eq!(reading.at_end(2, Signs::default()), None);
    }

    #[test]
    fn both_errors_of_a_refused_allocation_are_signs() {
        let mut row = ContainerRow::new(Arc::new(Identity::default()), SystemTime::UNIX_EPOCH);
        let counters = DriverCounters {
            failed_no_memory: 2,
            failed_insufficient_resources: 3,
            ..DriverCounters::default()
        };
        row.nvidia_driver = Some(Box::new(DriverUsage { counters, ..DriverUsage::default() }));
        assert_eq!(Signs::of(&row).refused, 5);
    }
}
