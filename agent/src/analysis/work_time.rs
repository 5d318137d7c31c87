//! Splits the wall time in which a container had work in flight by what the time was spent on. Reads nothing itself; keeps
//! some 200 bytes per container.
//!
//! The wall time with work in flight since the last tick is the age of the oldest request and the durations of the
//! requests that ended since, without what earlier ticks have counted of the oldest one; at most the time since the last
//! tick. This is exact for requests one after the other, and too long if short requests overlap. [`split`] takes the
//! activities in the order of precedence, each at most what the ones before have left; what remains is idle. The sum is
//! therefore exactly the wall time. docs/requests.md has the definitions.
//!
//! The sums are kept by display name, so they continue when the container restarts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Derivation, Recent, waits, waits::Wait, work};
use crate::{
    containers::Moment,
    snapshot::{
        ContainerRow, Snapshot,
        work::{Activity, WorkTime},
    },
};

/// Number of ticks after which pressure that did not rise counts as none: it is not read at every tick.
const PRESSURE_TICKS: u32 = 3;

/// What a container did between two ticks. Times are summed over its threads and may exceed the wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Wall time with work in flight.
    pub wall: Duration,
    /// Time since the last tick.
    pub elapsed: Duration,
    /// Time that GPUs ran its work.
    pub gpu: Duration,
    /// Time in calls to the NVIDIA driver.
    pub driver: Duration,
    /// Time on CPUs.
    pub on_cpu: Duration,
    /// Time throttled.
    pub throttled: Duration,
    /// Time runnable without a CPU, throttled time included.
    pub waiting: Duration,
    /// Share of time in which a task waited for block I/O (PSI), 0 to 1.
    pub io_share: f64,
    /// What its threads waited for at the last look.
    pub wait: Option<Wait>,
}

/// Splits the wall time.
#[must_use]
pub fn split(spent: &Spent) -> WorkTime {
    let mut time = WorkTime::default();
    let mut left = spent.wall;
    // Activity of the whole tick counts in proportion to the part of the tick in which work was in flight.
    let part = spent.wall.as_secs_f64() / spent.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut take = |activity, wanted: Duration| {
        let taken = wanted.min(left);
        time.add(activity, taken);
        left -= taken;
    };
    let of_work = |all: Duration| all.mul_f64(part.min(1.0));
    take(Activity::Gpu, of_work(spent.gpu));
    take(Activity::NvidiaDriver, of_work(spent.driver));
    take(Activity::OnCpu, of_work(spent.on_cpu));
    take(Activity::Throttled, of_work(spent.throttled));
    take(Activity::WaitingForCpu, of_work(spent.waiting.saturating_sub(spent.throttled)));
    take(Activity::Disk, spent.wall.mul_f64(spent.io_share.clamp(0.0, 1.0)));
    let rest = match spent.wait {
        Some(Wait::Disk) => Activity::Disk,
        Some(Wait::Socket) => Activity::Socket,
        Some(Wait::Stopped | Wait::Lock) | None => Activity::Idle,
    };
    take(rest, Duration::MAX);
    time
}

/// What is kept of a container.
struct History {
    sum: WorkTime,
    key: u64,
    /// The counters at the last tick.
    last: Counters,
    /// GPU time of earlier ticks that has not been counted yet.
    gpu_left: Duration,
    /// The age of the oldest work in flight at the last tick.
    oldest: Option<Duration>,
    pressure: Pressure,
}

/// The counters from whose changes the time is derived, in ns.
#[derive(Clone, Copy, Default)]
struct Counters {
    completed: u64,
    driver: u64,
    on_cpu: u64,
    throttled: u64,
    waiting: u64,
    gpu: u64,
}

/// Pressure of block I/O, which is not read at every tick.
#[derive(Clone, Copy)]
struct Pressure {
    waiting_us: u64,
    changed: Instant,
    share: f64,
}

/// Sums the time of every container at every tick.
#[derive(Default)]
pub struct WorkTimes {
    histories: HashMap<String, History>,
    last: Option<Instant>,
}

impl WorkTimes {
    /// Sets the times of these rows. A row that does not own its display name gets none.
    pub fn fill(&mut self, rows: &mut [ContainerRow], now: Instant) {
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        self.last = Some(now);
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in rows.iter_mut().filter(|row| row.owns_name) {
            let name = row.identity.full_name();
            let known = self.histories.remove(&name);
            if known.is_none() && row.work_in_flight().is_none() {
                continue;
            }
            let mut history = known.unwrap_or_else(|| History::new(row, now));
            history.add(row, elapsed, now);
            row.work_time = Some(history.sum);
            histories.insert(name, history);
        }
        self.histories = histories;
    }
}

impl Derivation for WorkTimes {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        self.fill(&mut snapshot.containers, now.monotonic);
    }
}

impl History {
    fn new(row: &ContainerRow, now: Instant) -> Self {
        let pressure = Pressure { waiting_us: io_us(row), changed: now, share: 0.0 };
        Self {
            sum: WorkTime::default(),
            key: row.key,
            last: Counters::of(row),
            gpu_left: Duration::ZERO,
            oldest: None,
            pressure,
        }
    }

    fn add(&mut self, row: &ContainerRow, elapsed: Duration, now: Instant) {
        // The counters of another run have other values.
        if self.key != row.key {
            *self = Self { sum: self.sum, ..Self::new(row, now) };
        }
        let (before, after) = (self.last, Counters::of(row));
        self.last = after;
        let counted = std::mem::replace(&mut self.oldest, row.oldest_work()).unwrap_or_default();
        let io_share = self.pressure.read(io_us(row), elapsed, now);
        if row.ended_at.is_some() || elapsed.is_zero() {
            return;
        }
        let time =
            |read: fn(&Counters) -> u64| Duration::from_nanos(read(&after).saturating_sub(read(&before)));
        // NVML is read by a thread of its own. A tick may therefore see no new reading, and the next tick two.
        let gpu = self.gpu_left + time(|counters| counters.gpu);
        self.gpu_left = gpu.saturating_sub(elapsed).min(elapsed);
        let ended = time(|counters| counters.completed).saturating_sub(counted);
        let in_flight = row.nvidia_driver.as_ref().filter(|driver| driver.in_flight > 0);
        let hanging = in_flight.and_then(|driver| driver.waiting).unwrap_or_default().min(elapsed);
        let spent = Spent {
            wall: row.oldest_work().unwrap_or_default().saturating_add(ended).min(elapsed),
            elapsed,
            gpu: gpu.min(elapsed),
            driver: time(|counters| counters.driver).max(hanging),
            on_cpu: time(|counters| counters.on_cpu),
            throttled: time(|counters| counters.throttled),
            waiting: time(|counters| counters.waiting),
            io_share,
            wait: waits::of(row),
        };
        let time = split(&spent);
        for activity in Activity::ALL {
            self.sum.add(activity, time.of(activity));
        }
    }
}

impl Counters {
    fn of(row: &ContainerRow) -> Self {
        let driver = row.nvidia_driver.iter().flat_map(|driver| &driver.commands);
        Self {
            completed: work::completed_ns(row),
            driver: driver.map(|command| command.durations.sum_ns).fold(0, u64::saturating_add),
            on_cpu: work::cpu_ns(row).unwrap_or(0),
            throttled: row.cgroup.cpu.throttled_ns.unwrap_or(0),
            waiting: row.scheduler.as_ref().map_or(0, |usage| usage.waits.sum_ns),
            gpu: work::gpu_ns(row),
        }
    }
}

impl Pressure {
    /// The share of time in which a task waited, from the last rise.
    fn read(&mut self, waiting_us: u64, elapsed: Duration, now: Instant) -> f64 {
        let window = elapsed * PRESSURE_TICKS;
        let since = now.duration_since(self.changed);
        if waiting_us > self.waiting_us && !elapsed.is_zero() {
            let waited = Duration::from_micros(waiting_us - self.waiting_us);
            let over = since.min(window).max(elapsed);
            self.share = (waited.as_secs_f64() / over.as_secs_f64()).min(1.0);
            (self.waiting_us, self.changed) = (waiting_us, now);
        } else if since >= window {
            self.share = 0.0;
        }
        self.share
    }
}

fn io_us(row: &ContainerRow) -> u64 {
    row.cgroup.pressure.io.waiting_us.unwrap_or(0)
}

#[cfg(test)]
mod tests;
