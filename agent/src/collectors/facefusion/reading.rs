//! Data that the thread and the tick exchange.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    collectors::shared,
    snapshot::{
        ContainerRow,
        facefusion::{FaceFusion, FailureReason},
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
    /// Allocations of GPU memory that the driver has refused.
    refused: AtomicU64,
    /// Processes of ffmpeg that ended with an error, plus 1; 0 if they are not counted.
    errors: AtomicU64,
    /// Processes of ffmpeg that ended by a signal.
    signals: AtomicU64,
    /// CPU time of its processes so far in ns, plus 1; 0 if that is unknown.
    cpu_ns: AtomicU64,
    /// Number of ticks that have read it.
    ticks: AtomicU64,
}

impl Subject {
    pub(super) fn new(id: String, cgroup_path: String, is_new: bool) -> Self {
        let since = Instant::now();
        let (refused, errors, signals, cpu_ns, ticks) = Default::default();
        Self { id, cgroup_path, since, is_new, refused, errors, signals, cpu_ns, ticks }
    }

    /// Called once per tick, with the CPU time of its processes so far in ns.
    pub(super) fn note(&self, signs: Signs, cpu_ns: Option<u64>) {
        self.refused.store(signs.refused, Relaxed);
        self.errors.store(signs.errors.map_or(0, |errors| errors.saturating_add(1)), Relaxed);
        self.signals.store(signs.signals, Relaxed);
        self.cpu_ns.store(cpu_ns.map_or(0, |cpu_ns| cpu_ns.saturating_add(1)), Relaxed);
        self.ticks.fetch_add(1, Relaxed);
    }

    /// CPU time of its processes as of the last tick; `None` if that is unknown.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        self.cpu_ns.load(Relaxed).checked_sub(1).map(Duration::from_nanos)
    }

    /// The signs as of the last tick, and the number of ticks so far.
    pub(super) fn signs(&self) -> (Signs, u64) {
        let ticks = self.ticks.load(Relaxed);
        let (refused, signals) = (self.refused.load(Relaxed), self.signals.load(Relaxed));
        (Signs { refused, errors: self.errors.load(Relaxed).checked_sub(1), signals }, ticks)
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
}

impl Signs {
    /// The signs in a row that the other collectors have filled.
    pub(super) fn of(row: &ContainerRow) -> Self {
        let ffmpeg = row.programs.iter().find(|program| &*program.name == "ffmpeg");
        let exits = |result: usize| ffmpeg.map(|ffmpeg| ffmpeg.counters.exits[result]);
        Self {
            refused: row.nvidia_driver.as_ref().map_or(0, |driver| driver.counters.refused()),
            errors: exits(result::ERROR),
            signals: exits(result::SIGNAL).unwrap_or(0),
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
    /// Failed jobs that are not counted yet, by the reason as far as it is known.
    pub(super) undecided: [u64; FailureReason::ALL.len()],
}

impl Found {
    /// What the snapshot shows after the container has ended: failures are decided, and no job is running.
    fn at_end(&self) -> FaceFusion {
        let mut ended = self.shown.clone();
        for (count, undecided) in ended.counters.failed.iter_mut().zip(self.undecided) {
            *count = count.saturating_add(undecided);
        }
        ended.counters.abandoned = ended.counters.abandoned.saturating_add(ended.running);
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

    /// The same for a container that has ended.
    pub(super) fn at_end(&self, key: u64) -> Option<FaceFusion> {
        self.containers.get(&key).map(Found::at_end)
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
        found.undecided[FailureReason::GpuMemory as usize] = 1;
        let reading =
            Reading { taken: Instant::now(), containers: HashMap::from([(1, found)]), limitation: None };
        let ended = reading.at_end(1).unwrap();
        assert_eq!((ended.counters.failed, ended.counters.abandoned), ([0, 1, 0, 1], 2));
        assert_eq!((ended.queued, ended.running, ended.current), (3, 0, None));
        assert_eq!(reading.of(1).unwrap().counters.failed, [0, 0, 0, 1], "not decided while it lives");
        assert_eq!(reading.at_end(2), None);
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
