//! Finds memory that a container never gives back: the *floor* of its memory between busy periods, and whether the floor
//! grows from job to job. Reads nothing itself; needs only values that collectors have read. docs/memory-leaks.md
//! explains it to users.
//!
//! Definitions:
//!
//! - **Memory** is one of three ([`levels`]): `gpu` (NVML, summed over GPUs), `host` (anonymous memory and swap),
//!   `driver` (granted by the NVIDIA driver and not freed).
//! - A container is **busy** while requests, Gradio jobs or FaceFusion jobs are in flight, or it uses at least 5 % of a GPU.
//!   If no work is counted, CPU use of at least 0.5 cores counts, too. A container without counted work that uses no GPU is
//!   ignored.
//! - A **busy period** ends after 5 s without work. It is a job if a request or job of more than 1 s ended in it, if the
//!   container computed for 2 s, or if work was in flight for 10 s; otherwise it is ignored, as the polls of a page are. If
//!   several requests and jobs of more than 1 s ended in it, each counts as a job. A FaceFusion job that was started on
//!   the page is also a Gradio job, and counts once.
//! - A **floor** is the least memory between two jobs. If a container is never quiet, the least memory of 10 minutes in
//!   which 3 jobs ended takes its place, measured while at most one request or job runs.
//! - The floors after the first two jobs begin the history: at most 32 floors of this run of the container.
//! - A **leak is suspected** if all of these hold ([`trend`]). Slopes are medians over all pairs (Theil and Sen).
//!
//! | condition | excludes |
//! |---|---|
//! | there are at least 8 floors | chance |
//! | the growth (slope times number of steps) is at least 64 MiB and 2 % of the first floor | fragmentation |
//! | more than half of the steps rise, by at least 1 MiB | one model that is loaded later |
//! | the order of the floors differs from a random one by 3.3 standard deviations (Mann and Kendall) | noise |
//! | the growth is at least 8 times the median distance of the floors from the line | noise |
//! | at most a fifth of the growth came back in between | sawtooth |
//! | the slope of the later half is at least 60 % of the whole slope | caches that fill up |
//!
//! The driver's memory is judged only if NVML does not report that of the container, and its history restarts when a
//! process creates a context, because memory that the exit of a process frees is not counted as freed.
//!
//! Cost: per container and tick a map look-up and some 40 comparisons and additions, and an allocation for the result. A
//! floor that begins to count costs 1,500 differences and six medians, 10 to 35 µs when optimized, once per job. Memory:
//! up to 2.5 KiB per container.

mod activity;
mod floors;
mod levels;
mod trend;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use self::{
    activity::{Activity, CpuTime, Ended, ended_jobs, is_nearly_quiet},
    floors::Floors,
    trend::Floor,
};
use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{
        ContainerRow, Snapshot,
        host::Host,
        memory_leak::{Memory, MemoryFloor},
    },
};

/// A busy period ends after this long without work.
const QUIET: Duration = Duration::from_secs(5);
/// A container that computed for this long has done a job.
const COMPUTING_MIN: Duration = Duration::from_secs(2);
/// A container that had work in flight for this long has done a job.
const IN_FLIGHT_MIN: Duration = Duration::from_secs(10);
/// A container that is not quiet within this time has a floor without a quiet moment.
const STRETCH: Duration = Duration::from_secs(600);
/// Minimum number of jobs that end in such a stretch. Otherwise one long job would make floors.
const STRETCH_JOBS_MIN: u64 = 3;

/// Follows the memory of every container.
#[derive(Default)]
pub struct MemoryLeaks {
    /// By the key of the run: memory does not continue in the next run.
    histories: HashMap<u64, History>,
    last: Option<Instant>,
}

/// What is kept of a run of a container.
struct History {
    begun: Instant,
    cpu: CpuTime,
    busy: Option<Busy>,
    /// Jobs so far.
    jobs: u64,
    /// What had ended when jobs were last counted.
    ended: Ended,
    /// In the order of [`Memory::ALL`].
    floors: [Floors; Memory::ALL.len()],
    /// Contexts that its processes had created at the last tick.
    contexts: u64,
}

/// A busy period.
struct Busy {
    /// When it last had work.
    last_work: Instant,
    /// How long work was in flight.
    in_flight: Duration,
    /// How long it computed.
    computing: Duration,
    /// When its stretch began.
    stretch_begun: Instant,
    /// The least memory in the stretch while it was nearly quiet, in the order of [`Memory::ALL`].
    least_bytes: [Option<u64>; Memory::ALL.len()],
}

impl Derivation for MemoryLeaks {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        let now = now.monotonic;
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        self.last = Some(now);
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in snapshot.containers.iter_mut().filter(|row| row.is_running()) {
            let mut history = self.histories.remove(&row.key).unwrap_or_else(|| History::new(row, now));
            if history.observe(row, elapsed, now) {
                row.memory_floors = history.reported(row, &snapshot.host);
                histories.insert(row.key, history);
            }
        }
        self.histories = histories;
    }
}

impl History {
    fn new(row: &ContainerRow, now: Instant) -> Self {
        let (floors, cpu) = (Default::default(), CpuTime::default());
        Self { begun: now, cpu, busy: None, jobs: 0, ended: ended_jobs(row), floors, contexts: 0 }
    }

    /// False if nothing shows when the container has work.
    fn observe(&mut self, row: &ContainerRow, elapsed: Duration, now: Instant) -> bool {
        let Some(activity) = self.cpu.observe(row, now) else { return false };
        self.forget_ended_processes(row);
        let Some(busy) = &mut self.busy else {
            if activity == Activity::Quiet {
                self.measure(row, now);
            } else {
                self.floors.iter_mut().for_each(Floors::count);
                self.busy = Some(Busy::new(now));
            }
            return true;
        };
        if busy.continues(activity, elapsed, now) {
            if is_nearly_quiet(row) {
                busy.measure(row);
            }
            if now.duration_since(busy.stretch_begun) >= STRETCH {
                self.end_stretch(row, now);
            }
        } else {
            let worked = busy.computing >= COMPUTING_MIN || busy.in_flight >= IN_FLIGHT_MIN;
            self.busy = None;
            self.jobs += self.newly_ended(row).max(u64::from(worked));
            self.measure(row, now);
        }
        true
    }

    /// Takes the least memory of a stretch as a floor, if enough jobs ended in it.
    fn end_stretch(&mut self, row: &ContainerRow, now: Instant) {
        let Some(busy) = &mut self.busy else { return };
        let least_bytes = std::mem::take(&mut busy.least_bytes);
        busy.stretch_begun = now;
        if ended_jobs(row).since(self.ended) < STRETCH_JOBS_MIN {
            return;
        }
        (busy.in_flight, busy.computing) = (Duration::ZERO, Duration::ZERO);
        self.jobs += self.newly_ended(row);
        self.take(least_bytes, now);
        self.floors.iter_mut().for_each(Floors::count);
    }

    /// Requests, Gradio jobs and FaceFusion jobs that have ended since the last call.
    fn newly_ended(&mut self, row: &ContainerRow) -> u64 {
        let ended = ended_jobs(row);
        ended.since(std::mem::replace(&mut self.ended, ended))
    }

    /// Measures the floor of a quiet moment.
    fn measure(&mut self, row: &ContainerRow, now: Instant) {
        self.take(Memory::ALL.map(|memory| levels::held_bytes(row, memory)), now);
    }

    fn take(&mut self, held_bytes: [Option<u64>; Memory::ALL.len()], now: Instant) {
        if self.jobs == 0 {
            return;
        }
        let (at, jobs) = (now.duration_since(self.begun), self.jobs);
        for (floors, bytes) in self.floors.iter_mut().zip(held_bytes) {
            if let Some(bytes) = bytes {
                floors.measure(Floor { at, jobs, bytes });
            }
        }
    }

    /// Forgets the floors of the driver's memory if there is a new process: an earlier one may have ended.
    fn forget_ended_processes(&mut self, row: &ContainerRow) {
        let contexts = row.nvidia_driver.as_ref().map_or(0, |driver| driver.counters.contexts);
        if std::mem::replace(&mut self.contexts, contexts) != contexts {
            self.floors[Memory::Driver as usize] = Floors::default();
        }
    }

    fn reported(&self, row: &ContainerRow, host: &Host) -> Vec<MemoryFloor> {
        let is_measured = self.floors[Memory::Gpu as usize].latest_bytes().is_some();
        let floors = Memory::ALL.into_iter().zip(&self.floors);
        let reported = floors.filter_map(|(memory, floors)| {
            let floor_bytes = floors.latest_bytes()?;
            let is_judged = memory != Memory::Driver || !is_measured;
            let is_suspected = floors.trend().map(|(_, is_leak)| is_leak).filter(|_| is_judged);
            let trend = floors.trend().map(|(trend, _)| trend);
            let left = levels::left_bytes(row, host, memory).filter(|_| is_suspected == Some(true));
            let full_in = left.zip(trend).and_then(|(left_bytes, trend)| {
                Duration::try_from_secs_f64(left_bytes as f64 / trend.bytes_per_hour * 3600.0).ok()
            });
            Some(MemoryFloor { memory, floor_bytes, trend, is_suspected, full_in })
        });
        reported.collect()
    }
}

impl Busy {
    fn new(now: Instant) -> Self {
        Self {
            last_work: now,
            in_flight: Duration::ZERO,
            computing: Duration::ZERO,
            stretch_begun: now,
            least_bytes: Default::default(),
        }
    }

    /// Whether the period continues.
    fn continues(&mut self, activity: Activity, elapsed: Duration, now: Instant) -> bool {
        match activity {
            Activity::Quiet => return now.duration_since(self.last_work) < QUIET,
            Activity::InFlight => self.in_flight += elapsed,
            Activity::Computing => self.computing += elapsed,
        }
        self.last_work = now;
        true
    }

    fn measure(&mut self, row: &ContainerRow) {
        for (least, memory) in self.least_bytes.iter_mut().zip(Memory::ALL) {
            let held = levels::held_bytes(row, memory);
            *least = least.iter().copied().chain(held).min();
        }
    }
}

#[cfg(test)]
mod tests;
