//! Writes a line to the log for each slow request, with what the container's time was spent on meanwhile. Reads nothing
//! itself. Runs only if `requests.slow_after_ms` is set.
//!
//! The log is limited to [`LINES_PER_S`] for the whole host. Containers take turns, and each begins with its longest
//! request. Requests without a line are counted, and the log mentions their number.
//!
//! Cost: one sample per container with work in flight and tick, at most 7 KiB per container.

mod history;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use glassbox_ebpf::requests::slow::SLOW_REQUESTS_PER_S;

use self::history::History;
use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    log_output::SLOW_REQUEST,
    snapshot::{
        ContainerRow, Snapshot,
        requests::{End, SlowRequest},
        work::{Activity, WorkTime},
    },
};

/// Lines per second, on average over a tick or a second, whichever is longer.
const LINES_PER_S: u32 = 10;
/// The name of the loss.
const LOSS: &str = "slow_requests";
/// Minimum time between two lines that mention requests without a line.
const MENTION_PERIOD: Duration = Duration::from_secs(30);

/// Logs slow requests.
#[derive(Default)]
pub struct SlowLog {
    /// By display name, as the work time.
    histories: HashMap<String, History>,
    limit: Limit,
    /// Which container is first.
    turn: usize,
    /// Requests without a line.
    suppressed: u64,
    mentioned: u64,
    mentioned_at: Option<Instant>,
}

impl Derivation for SlowLog {
    fn derive(&mut self, snapshot: &mut Snapshot, recent: Recent<'_>, now: Moment) {
        self.remember(&snapshot.containers, now.monotonic);
        let new: Vec<_> = snapshot.containers.iter().map(|row| (row, unlogged(row, recent))).collect();
        self.turn = self.turn.wrapping_add(1);
        let lines = self.limit.refill(now.monotonic);
        let (chosen, suppressed) = choose(new, self.turn, lines);
        self.limit.lines -= chosen.len() as u32;
        self.suppressed += suppressed;
        for (row, request) in chosen {
            let history = self.histories.get(&row.identity.full_name()).filter(|_| row.owns_name);
            write(row, request, history.and_then(|history| history.split(request)).as_ref());
        }
        if let Some((_, lost)) = snapshot.agent.lost.iter_mut().find(|(name, _)| *name == LOSS) {
            *lost += self.suppressed;
            self.mention(*lost, now.monotonic);
        }
    }
}

impl SlowLog {
    fn remember(&mut self, rows: &[ContainerRow], now: Instant) {
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in rows.iter().filter(|row| row.owns_name) {
            let Some(time) = row.work_time else { continue };
            let name = row.identity.full_name();
            let mut history = self.histories.remove(&name).unwrap_or_default();
            history.add(now, time);
            histories.insert(name, history);
        }
        self.histories = histories;
    }

    /// Mentions the requests that were not logged, with those that the kernel programs have not sent.
    fn mention(&mut self, lost: u64, now: Instant) {
        let new = lost.saturating_sub(self.mentioned);
        if new == 0 || self.mentioned_at.is_some_and(|at| now.duration_since(at) < MENTION_PERIOD) {
            return;
        }
        (self.mentioned, self.mentioned_at) = (lost, Some(now));
        tracing::info!(
            target: SLOW_REQUEST,
            "{new} slow requests were not logged (limits: {LINES_PER_S} lines per second, {SLOW_REQUESTS_PER_S} requests \
             per second and container); raise requests.slow_after_ms"
        );
    }
}

/// The slow requests of a row that its previous row did not contain, longest first. A row that was not read again, such as
/// that of a container that has ended, contains the same ones.
fn unlogged<'a>(row: &'a ContainerRow, recent: Recent<'_>) -> Vec<&'a SlowRequest> {
    let all = |row: &'a ContainerRow| row.requests.iter().flat_map(|requests| &requests.slow);
    let previous = recent.container(row.key).and_then(|row| row.requests.as_deref());
    let last = previous.and_then(|requests| requests.slow.iter().map(|request| request.number).max());
    let mut new: Vec<_> = all(row).filter(|request| Some(request.number) > last).collect();
    new.sort_by_key(|request| std::cmp::Reverse(request.duration));
    new
}

/// The requests that get a line, and the number of those that do not. Each container gets one line before any gets another.
fn choose<C: Copy, R: Copy>(mut requests: Vec<(C, Vec<R>)>, turn: usize, lines: u32) -> (Vec<(C, R)>, u64) {
    requests.retain(|(_, requests)| !requests.is_empty());
    let first = turn % requests.len().max(1);
    requests.rotate_left(first);
    let most = requests.iter().map(|(_, requests)| requests.len()).max().unwrap_or(0);
    let rounds = (0..most).flat_map(|round| {
        requests.iter().filter_map(move |(container, requests)| Some((*container, *requests.get(round)?)))
    });
    let chosen: Vec<_> = rounds.take(lines as usize).collect();
    let all: usize = requests.iter().map(|(_, requests)| requests.len()).sum();
    let suppressed = all - chosen.len();
    (chosen, suppressed as u64)
}

/// The lines that may be written now.
#[derive(Default)]
struct Limit {
    lines: u32,
    refilled: Option<Instant>,
}

impl Limit {
    fn refill(&mut self, now: Instant) -> u32 {
        let since = self.refilled.map_or(Duration::from_secs(1), |at| now.saturating_duration_since(at));
        let new = (since.as_secs_f64() * f64::from(LINES_PER_S)) as u32;
        if new > 0 {
            self.lines = self.lines.saturating_add(new).min(new.max(LINES_PER_S));
            self.refilled = Some(now);
        }
        self.lines
    }
}

fn write(row: &ContainerRow, request: &SlowRequest, split: Option<&WorkTime>) {
    let identity = &row.identity;
    let of = |activity| split.map(|split| seconds(split.of(activity)));
    tracing::info!(
        target: SLOW_REQUEST,
        container = identity.container,
        namespace = identity.namespace,
        pod = identity.pod,
        route = &*request.route,
        method = request.method,
        code = request.code,
        end = match request.end {
            End::Complete => "complete",
            End::ClosedByClient => "closed_by_client",
            End::ClosedByServer => "closed_by_server",
        },
        duration_s = seconds(request.duration),
        first_byte_s = request.first_byte.map(seconds),
        gpu_s = of(Activity::Gpu),
        nvidia_driver_s = of(Activity::NvidiaDriver),
        on_cpu_s = of(Activity::OnCpu),
        throttled_s = of(Activity::Throttled),
        waiting_for_cpu_s = of(Activity::WaitingForCpu),
        disk_s = of(Activity::Disk),
        socket_s = of(Activity::Socket),
        idle_s = of(Activity::Idle),
        "slow request"
    );
}

/// Seconds with three decimals.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
