//! Decides whether a container makes progress with its work. Reads nothing itself; keeps some 200 bytes per container.
//! The decision table is in the documentation of [`decide`]; docs/requests.md explains it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Derivation, Recent, waits, waits::Wait, work, work::Progress};
use crate::{
    config::Config,
    containers::Moment,
    snapshot::{
        ContainerRow, Snapshot,
        gpu_state::GpuState,
        health::{StuckReason, WorkHealth},
        threads::ThreadActivity,
    },
};

/// Minimum demand for CPUs, as a share of one CPU, that counts as computing. Timers and pools of threads need less.
const COMPUTING_SHARE: f64 = 0.1;
/// A GPU that has looked busy and done nothing for this long, as for the alert GpuSpinning, is not working. A single kernel
/// that uses no memory looks the same for a while, and a probe that restarts its container would end its work.
const SPINNING_MIN: Duration = Duration::from_secs(300);
/// The time over which the demand is averaged.
const DEMAND_WINDOW: Duration = Duration::from_secs(2);

/// The data about a container at one tick; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Work in flight.
    pub in_flight: Option<u64>,
    /// Whether there was progress since the last tick.
    pub advanced: bool,
    /// Time since a call to the NVIDIA driver last started or ended, if calls are in flight.
    pub driver_waiting: Option<Duration>,
    /// Time in which work waited for the server without progress.
    pub quiet: Duration,
    /// Whether it computes, or wants to.
    pub computes: bool,
    /// Time without progress since its accept queue began to grow; `None` if it does not grow.
    pub queue_grows: Option<Duration>,
    /// What its threads wait for.
    pub wait: Option<Wait>,
}

/// Applies the decision table; the first row that applies determines the health. There is none if neither requests are
/// counted nor a call to the driver hangs. `limit` is `health.stuck_after_s`, 10 s by default.
///
/// | state | reason | condition |
/// |---|---|---|
/// | `stuck` | `nvidia_driver` | calls to the driver are in flight, and none has started or ended for `limit` |
/// | `stuck` | `busy_loop` | work has waited for `limit` without progress, and it computes |
/// | `stuck` | as below | work has waited for `limit` without progress, and it does not compute |
/// | `stuck` | `accept_queue` | its accept queue has grown for `limit` without progress |
/// | `working` | | work is in flight, or there was progress since the last tick |
/// | `idle` | | none of the above |
///
/// Only work that waits for the server can be stuck ([`ContainerRow::work_waiting`]), not work that waits for its client.
///
/// The reason is what its threads wait for: `stopped`, `disk`, `network` or `lock`. If that is not known: `accept_queue`
/// if the accept queue grows, `unknown` if not.
#[must_use]
pub fn decide(evidence: &Evidence, limit: Duration) -> Option<WorkHealth> {
    let stuck = |reason, since| Some(WorkHealth::Stuck { reason, since });
    if let Some(waiting) = evidence.driver_waiting.filter(|waiting| *waiting >= limit) {
        return stuck(StuckReason::NvidiaDriver, waiting);
    }
    let in_flight = evidence.in_flight?;
    if evidence.quiet >= limit {
        let reason = match evidence.wait {
            _ if evidence.computes => StuckReason::BusyLoop,
            Some(Wait::Stopped) => StuckReason::Stopped,
            Some(Wait::Disk) => StuckReason::Disk,
            Some(Wait::Socket) => StuckReason::Network,
            Some(Wait::Lock) => StuckReason::Lock,
            None if evidence.queue_grows.is_some() => StuckReason::AcceptQueue,
            None => StuckReason::Unknown,
        };
        return stuck(reason, evidence.quiet);
    }
    if let Some(grows) = evidence.queue_grows.filter(|grows| *grows >= limit) {
        return stuck(StuckReason::AcceptQueue, grows);
    }
    Some(if in_flight > 0 || evidence.advanced { WorkHealth::Working } else { WorkHealth::Idle })
}

/// What is kept of a container.
#[derive(Default)]
struct History {
    progress: Progress,
    demand_ns: u64,
    /// Time between ticks at both of which work waited, without progress in between. One tick cannot show how long work has
    /// waited.
    quiet: Duration,
    /// Whether work waited at the last tick.
    was_waiting: bool,
    /// Demand for CPUs as a moving average. In one tick, a thread may get no CPU, and waits are counted when they end.
    demand_share: f64,
    /// Time without waiting work since work last waited.
    without_work: Duration,
    /// Length of the fullest accept queue, and connections that found it full.
    queue: (u32, u64),
    /// When the queue began to grow, and when it last grew.
    queue_grew: Option<(Instant, Instant)>,
    wait: Option<Wait>,
    /// Since when its GPUs have only looked busy.
    spins_since: Option<Instant>,
}

/// Decides the health of every container at every tick.
pub struct HealthStates {
    limit: Duration,
    last: Option<Instant>,
    histories: HashMap<u64, History>,
}

impl HealthStates {
    /// Work is stuck after `limit` without progress.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, last: None, histories: HashMap::new() }
    }

    /// Sets the health of these rows. A container that has ended has none.
    pub fn fill(&mut self, rows: &mut [ContainerRow], now: Instant) {
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        self.last = Some(now);
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in rows.iter_mut().filter(|row| row.is_running()) {
            if row.work_in_flight().is_none() && row.nvidia_driver.is_none() {
                continue;
            }
            let known = self.histories.remove(&row.key);
            let elapsed = if known.is_some() { elapsed } else { Duration::ZERO };
            let mut history = known.unwrap_or_else(|| History::new(row));
            let evidence = history.evidence(row, elapsed, self.limit, now);
            row.health = decide(&evidence, self.limit);
            histories.insert(row.key, history);
        }
        self.histories = histories;
    }
}

impl Derivation for HealthStates {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        self.fill(&mut snapshot.containers, now.monotonic);
    }

    fn configure(&mut self, config: &Config) {
        self.limit = *config.health.stuck_after_s;
    }
}

impl History {
    fn new(row: &ContainerRow) -> Self {
        Self { progress: Progress::of(row), demand_ns: demand_ns(row), queue: queue(row), ..Self::default() }
    }

    fn evidence(&mut self, row: &ContainerRow, elapsed: Duration, limit: Duration, now: Instant) -> Evidence {
        let (mut progress, demand_ns, queue) = (Progress::of(row), demand_ns(row), queue(row));
        let spins = row.gpu_state == Some(GpuState::Spinning);
        self.spins_since = spins.then(|| self.spins_since.unwrap_or(now));
        let spins_since = self.spins_since;
        if spins_since.is_some_and(|since| now.duration_since(since) >= SPINNING_MIN) {
            // A kernel that waits in a loop uses the GPU and completes nothing.
            progress.gpu_ns = self.progress.gpu_ns;
        }
        let advanced = progress.is_beyond(&self.progress);
        let demand = Duration::from_nanos(demand_ns.saturating_sub(self.demand_ns));
        let grew = queue.0 > self.queue.0 || queue.1 > self.queue.1;
        (self.progress, self.demand_ns, self.queue) = (progress, demand_ns, queue);
        let was_waiting = std::mem::replace(&mut self.was_waiting, row.work_waiting() > 0);
        self.wait = waits::of(row).or(self.wait.filter(|_| row.threads.is_none()));
        let (seconds, window) = (elapsed.as_secs_f64(), DEMAND_WINDOW.as_secs_f64());
        let weight = seconds / (seconds + window);
        if seconds > 0.0 {
            self.demand_share += weight * (demand.as_secs_f64() / seconds - self.demand_share);
        }
        let demand_share = self.demand_share;
        if advanced {
            let was_waiting = self.was_waiting;
            *self = Self {
                progress,
                demand_ns,
                demand_share,
                queue,
                was_waiting,
                spins_since,
                ..Self::default()
            };
        } else if self.was_waiting {
            self.without_work = Duration::ZERO;
            if was_waiting {
                self.quiet += elapsed;
            }
        } else {
            // A client that retries leaves moments without waiting work.
            self.without_work += elapsed;
            if self.without_work >= limit {
                *self = Self {
                    progress,
                    demand_ns,
                    demand_share,
                    queue,
                    queue_grew: self.queue_grew,
                    spins_since,
                    ..Self::default()
                };
            }
        }
        let threads = row.threads.as_ref();
        let runs = threads.is_some_and(|threads| threads.count(ThreadActivity::Runs) > 0);
        if grew && !advanced {
            self.queue_grew = Some((self.queue_grew.map_or(now, |(begun, _)| begun), now));
        }
        // A queue that grew only once was a burst of connections, which are accepted by now.
        self.queue_grew = self.queue_grew.filter(|(_, last)| now.duration_since(*last) < limit);
        Evidence {
            in_flight: row.work_in_flight(),
            advanced,
            driver_waiting: row.nvidia_driver.as_ref().and_then(|driver| driver.waiting),
            quiet: self.quiet,
            computes: demand_share >= COMPUTING_SHARE || runs,
            queue_grows: self.queue_grew.map(|(begun, _)| now.duration_since(begun)),
            wait: self.wait,
        }
    }
}

/// Time in which its threads wanted a CPU, in ns: on CPU or waiting for one. Throttled time is not added, because it is
/// a part of the wait.
fn demand_ns(row: &ContainerRow) -> u64 {
    let waits_ns = row.scheduler.as_ref().map_or(0, |usage| usage.waits.sum_ns);
    work::cpu_ns(row).unwrap_or(0).saturating_add(waits_ns)
}

fn queue(row: &ContainerRow) -> (u32, u64) {
    row.sockets.as_ref().map_or((0, 0), |sockets| {
        let length = sockets.accept_queue.map_or(0, |queue| queue.length);
        (length, sockets.connections.accept_overflows)
    })
}

#[cfg(test)]
mod tests;
