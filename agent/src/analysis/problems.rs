//! Detects problems of each container, from the values of the collectors and a short history of them. Reads nothing
//! itself; uses about 200 bytes per container.
//!
//! | problem | condition |
//! |---|---|
//! | stuck in the driver | the GPU state is `stuck_in_driver` |
//! | stuck | its work makes no progress, for another reason ([`health`](super::health)) |
//! | spinning | the GPU state is `spinning` |
//! | unhealthy | the health check fails |
//! | OOM-killed | the kernel OOM-killed one of its processes within [`OOM_WINDOW`] |
//! | crash-looping | more than [`CRASH_RESTARTS`] restarts within [`CRASH_WINDOW`], as in dashboards/alerts.yml |
//! | GPU memory refused | the driver refused an allocation of GPU memory within [`REFUSED_WINDOW`] |
//! | on the CPU despite a GPU | the GPU state is `on_cpu_despite_gpu` |
//! | near its memory limit | the working set is above [`MEMORY_RATIO`] of the limit, as in dashboards/alerts.yml |
//! | throttled | it used up its CPU quota in at least [`THROTTLED_RATIO`] of the periods of the last minute |
//! | starved of CPU | not throttled, and its threads waited for a CPU longer than they ran, and at least [`STARVED_WAITING`] |
//! | memory leak suspected | the least memory between its jobs grows ([`memory_leak`](super::memory_leak)) |
//!
//! The history is kept by display name, because a restarted container has a new cgroup, and in Kubernetes a new ID.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{
        ContainerRow, Snapshot,
        cgroup::CpuUsage,
        gpu_state::GpuState,
        health::{StuckReason, WorkHealth},
        lifecycle::{ExitReason, Health},
        memory_leak::MemoryFloor,
        problem::Problem,
    },
};

/// How long an OOM kill counts as a problem.
pub const OOM_WINDOW: Duration = Duration::from_secs(600);
/// The window in which restarts are counted.
pub const CRASH_WINDOW: Duration = Duration::from_secs(600);
/// More restarts than this within the window are a crash loop.
pub const CRASH_RESTARTS: u64 = 3;
/// Minimum share of throttled periods that counts as a problem.
pub const THROTTLED_RATIO: f64 = 0.25;

/// How long a refused allocation of GPU memory counts as a problem.
pub const REFUSED_WINDOW: Duration = Duration::from_secs(600);
/// The share of the memory limit above which the working set is a problem.
pub const MEMORY_RATIO: f64 = 0.9;
/// Minimum time that threads of a starved container wait for a CPU, per second. Waits of a container that does almost
/// nothing are no problem.
pub const STARVED_WAITING: f64 = 0.1;

/// Minimum number of periods for a meaningful share: two seconds at the default period.
const PERIODS_MIN: u64 = 20;
/// Interval between two records of the CPU periods, and the number of records: they cover one minute.
const SAMPLE_PERIOD: Duration = Duration::from_secs(10);
const SAMPLES_MAX: usize = 7;
/// Maximum number of restarts in the history; the reported number does not exceed it.
const RESTARTS_MAX: usize = 64;

/// Detects the problems of every container at every tick.
#[derive(Default)]
pub struct Problems {
    histories: HashMap<String, History>,
}

#[derive(Default)]
struct History {
    restarts: Option<u64>,
    restarted: VecDeque<Instant>,
    /// Time, periods and throttled periods.
    periods: VecDeque<(Instant, u64, u64)>,
    /// Time of the last OOM kill: by the wall clock, as reported, and by the monotonic clock, which cannot be set.
    oom: Option<(SystemTime, Instant)>,
    /// Refused allocations of GPU memory, and when the last one was noticed.
    refused: Option<(u64, Instant)>,
}

impl Problems {
    /// Sets the problems of these rows, most severe first. A row that does not own its display name gets no problems.
    pub fn fill(&mut self, rows: &mut [ContainerRow], now: Moment) {
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in rows.iter_mut().filter(|row| row.owns_name) {
            let name = row.identity.container.clone();
            let mut history = self.histories.remove(&name).unwrap_or_default();
            row.problems = problems(row, &mut history, now);
            histories.insert(name, history);
        }
        self.histories = histories;
    }
}

impl Derivation for Problems {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        self.fill(&mut snapshot.containers, now);
    }
}

fn problems(row: &ContainerRow, history: &mut History, now: Moment) -> Vec<Problem> {
    let runs = row.is_running();
    let mut found = Vec::new();
    if runs && row.gpu_state == Some(GpuState::StuckInDriver) {
        let since = row.nvidia_driver.as_ref().and_then(|driver| driver.waiting);
        found.push(Problem::StuckInDriver { since });
    }
    if runs && let Some(WorkHealth::Stuck { reason, since }) = row.health {
        let is_known = found.iter().any(|problem| matches!(problem, Problem::StuckInDriver { .. }));
        if !is_known || reason != StuckReason::NvidiaDriver {
            found.push(Problem::Stuck { reason, since });
        }
    }
    if runs && row.gpu_state == Some(GpuState::Spinning) {
        found.push(Problem::Spinning);
    }
    if runs && row.status.health == Some(Health::Unhealthy) {
        found.push(Problem::Unhealthy);
    }
    found.extend(history.oom_killed(row, now));
    found.extend(history.crash_looping(row, now.monotonic));
    found.extend(history.gpu_memory_refused(row, now.monotonic));
    if runs && row.gpu_state == Some(GpuState::OnCpuDespiteGpu) {
        found.push(Problem::OnCpuDespiteGpu);
    }
    found.extend(near_memory_limit(row).filter(|_| runs));
    let throttled = history.throttled(&row.cgroup.cpu, now.monotonic).filter(|_| runs);
    found.extend(throttled.or_else(|| starved_of_cpu(row)));
    found.extend(row.memory_floors.iter().filter(|_| runs).filter_map(memory_leak));
    found
}

fn near_memory_limit(row: &ContainerRow) -> Option<Problem> {
    let ratio = row.cgroup.memory.working_set_bytes? as f64 / row.cgroup.limits.finite_memory_bytes()? as f64;
    (ratio > MEMORY_RATIO).then_some(Problem::NearMemoryLimit { ratio })
}

fn memory_leak(floor: &MemoryFloor) -> Option<Problem> {
    let bytes_per_hour = floor.trend?.bytes_per_hour;
    let problem = Problem::MemoryLeak { memory: floor.memory, bytes_per_hour, full_in: floor.full_in };
    (floor.is_suspected == Some(true)).then_some(problem)
}

fn starved_of_cpu(row: &ContainerRow) -> Option<Problem> {
    let ratio = row.rates.wait_ratio()?;
    let waits = row.rates.waiting.is_some_and(|waiting| waiting >= STARVED_WAITING);
    (waits && ratio > 0.5).then_some(Problem::StarvedOfCpu { ratio })
}

impl History {
    fn oom_killed(&mut self, row: &ContainerRow, now: Moment) -> Option<Problem> {
        let exit = row.status.last_exit.filter(|exit| exit.reason == Some(ExitReason::OomKilled));
        let last = row.oom.last_at.max(exit.map(|exit| exit.at))?;
        let at = match self.oom {
            Some((known, at)) if known == last => at,
            _ => now.place(last),
        };
        self.oom = Some((last, at));
        let ago = now.monotonic.saturating_duration_since(at);
        let kills = row.oom.total().filter(|kills| *kills > 0);
        (ago < OOM_WINDOW).then_some(Problem::OomKilled { kills, ago })
    }

    fn crash_looping(&mut self, row: &ContainerRow, now: Instant) -> Option<Problem> {
        if let Some(restarts) = row.status.restarts {
            // The restarts of the first reading may be of any age.
            let more = restarts.saturating_sub(self.restarts.unwrap_or(restarts));
            self.restarts = Some(restarts);
            let noted = usize::try_from(more).unwrap_or(RESTARTS_MAX).min(RESTARTS_MAX);
            self.restarted.extend(std::iter::repeat_n(now, noted));
        }
        while self.restarted.len() > RESTARTS_MAX
            || self.restarted.front().is_some_and(|at| now.duration_since(*at) >= CRASH_WINDOW)
        {
            self.restarted.pop_front();
        }
        let restarts = self.restarted.len() as u64;
        let code = row.status.last_exit.and_then(|exit| exit.code);
        (restarts > CRASH_RESTARTS).then_some(Problem::CrashLooping { restarts, code })
    }

    fn gpu_memory_refused(&mut self, row: &ContainerRow, now: Instant) -> Option<Problem> {
        let failures = row.nvidia_driver.as_ref()?.counters.refused();
        // The programs count from 0, so failures of the first reading are new.
        if failures != self.refused.map_or(0, |(known, _)| known) {
            self.refused = Some((failures, now));
        }
        let ago = now.duration_since(self.refused?.1);
        (failures > 0 && ago < REFUSED_WINDOW).then_some(Problem::GpuMemoryRefused { failures, ago })
    }

    fn throttled(&mut self, cpu: &CpuUsage, now: Instant) -> Option<Problem> {
        let (Some(periods), Some(throttled)) = (cpu.periods, cpu.throttled_periods) else {
            self.periods.clear();
            return None;
        };
        // The counters of a new cgroup start at 0.
        if self.periods.back().is_some_and(|(_, before, cut)| periods < *before || throttled < *cut) {
            self.periods.clear();
        }
        if self.periods.back().is_none_or(|(at, ..)| now.duration_since(*at) >= SAMPLE_PERIOD) {
            self.periods.push_back((now, periods, throttled));
        }
        while self.periods.len() > SAMPLES_MAX {
            self.periods.pop_front();
        }
        let (_, before, cut) = self.periods.front()?;
        let (periods, throttled) = (periods - before, throttled - cut);
        let ratio = throttled as f64 / periods.max(1) as f64;
        (periods >= PERIODS_MIN && ratio >= THROTTLED_RATIO).then_some(Problem::Throttled { ratio })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{
        identity::{Identity, Runtime},
        lifecycle::LastExit,
        memory_leak::{Memory, Trend},
        nvidia_driver::{DriverCounters, DriverUsage},
        rates::Rates,
    };

    /// A container, and the time at which it was first seen.
    struct Watched {
        problems: Problems,
        row: ContainerRow,
        begun: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let identity = Identity {
                id: "a".into(),
                cgroup_path: "/docker/a".into(),
                runtime: Runtime::Docker,
                name: "a".into(),
                container: "a".into(),
                ..Identity::default()
            };
            let row = ContainerRow::new(std::sync::Arc::new(identity), SystemTime::UNIX_EPOCH);
            Self { problems: Problems::default(), row, begun: Instant::now() }
        }

        fn at(&mut self, seconds: u64, change: impl FnOnce(&mut ContainerRow)) -> Vec<Problem> {
            change(&mut self.row);
            let since = Duration::from_secs(seconds);
            let rows = std::slice::from_mut(&mut self.row);
            let now = Moment { wall: SystemTime::UNIX_EPOCH + since, monotonic: self.begun + since };
            self.problems.fill(rows, now);
            self.row.problems.clone()
        }
    }

    #[test]
    fn a_healthy_container_has_no_problems() {
        assert_eq!(Watched::new().at(0, |_| ()), []);
    }

    #[test]
    fn problems_are_sorted_by_severity() {
        let mut watched = Watched::new();
        let cpu = |row: &mut ContainerRow, periods, throttled| {
            row.cgroup.cpu.periods = Some(periods);
            row.cgroup.cpu.throttled_periods = Some(throttled);
        };
        watched.at(0, |row| {
            row.status.restarts = Some(0);
            cpu(row, 0, 0);
        });
        let found = watched.at(5, |row| {
            row.gpu_state = Some(GpuState::StuckInDriver);
            row.health =
                Some(WorkHealth::Stuck { reason: StuckReason::Lock, since: Duration::from_secs(12) });
            row.status.health = Some(Health::Unhealthy);
            row.status.restarts = Some(4);
            row.oom.last_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4));
            refuse(row, 1);
            use_memory(row, 91);
            cpu(row, 50, 25);
            leak(row, Some(true));
        });
        let ranks: Vec<_> = found.iter().map(Problem::rank).collect();
        assert_eq!(ranks, [0, 1, 3, 4, 5, 6, 8, 9, 11], "{found:?}");
        // An ended container is no longer stuck, unhealthy or slow; what made it end remains.
        let found = watched.at(6, |row| row.ended_at = Some(SystemTime::UNIX_EPOCH));
        assert_eq!(found.iter().map(Problem::rank).collect::<Vec<_>>(), [4, 5, 6]);
    }

    #[test]
    fn a_container_that_spins_or_leaves_its_gpu_unused_has_a_problem_while_it_runs() {
        let mut watched = Watched::new();
        for (second, state, problem) in [
            (0, GpuState::Spinning, Problem::Spinning),
            (1, GpuState::OnCpuDespiteGpu, Problem::OnCpuDespiteGpu),
        ] {
            assert_eq!(watched.at(second, |row| row.gpu_state = Some(state)), [problem]);
        }
        assert_eq!(watched.at(2, |row| row.gpu_state = Some(GpuState::NoGpu)), []);
        let ended = |row: &mut ContainerRow| {
            (row.gpu_state, row.ended_at) = (Some(GpuState::Spinning), Some(SystemTime::UNIX_EPOCH));
        };
        assert_eq!(watched.at(3, ended), []);
    }

    fn refuse(row: &mut ContainerRow, failed_no_memory: u64) {
        let counters = DriverCounters { failed_no_memory, ..DriverCounters::default() };
        row.nvidia_driver = Some(Box::new(DriverUsage { counters, ..DriverUsage::default() }));
    }

    fn leak(row: &mut ContainerRow, is_suspected: Option<bool>) {
        let trend = Some(Trend { bytes_per_job: 1.0, bytes_per_hour: 60.0 });
        let full_in = Some(Duration::from_secs(120));
        row.memory_floors =
            vec![MemoryFloor { memory: Memory::Host, floor_bytes: 1, trend, is_suspected, full_in }];
    }

    #[test]
    fn only_a_suspected_leak_is_a_problem() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(0, |row| leak(row, None)), []);
        assert_eq!(watched.at(1, |row| leak(row, Some(false))), []);
        let full_in = Some(Duration::from_secs(120));
        let problem = Problem::MemoryLeak { memory: Memory::Host, bytes_per_hour: 60.0, full_in };
        assert_eq!(watched.at(2, |row| leak(row, Some(true))), [problem]);
        assert!(problem.is_mild());
    }

    fn use_memory(row: &mut ContainerRow, bytes: u64) {
        row.cgroup.memory.working_set_bytes = Some(bytes);
        row.cgroup.limits.memory_limit_bytes = Some(100);
    }

    #[test]
    fn refused_gpu_memory_is_a_problem_for_ten_minutes() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(0, |row| refuse(row, 0)), []);
        let problem =
            |failures, seconds| Problem::GpuMemoryRefused { failures, ago: Duration::from_secs(seconds) };
        assert_eq!(watched.at(5, |row| refuse(row, 2)), [problem(2, 0)]);
        assert_eq!(watched.at(604, |_| ()), [problem(2, 599)]);
        assert_eq!(watched.at(605, |_| ()), []);
        assert_eq!(watched.at(700, |row| refuse(row, 3)), [problem(3, 0)]);
    }

    #[test]
    fn a_container_is_near_its_memory_limit_above_the_threshold_of_the_alert() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(0, |row| use_memory(row, 90)), []);
        assert_eq!(watched.at(1, |row| use_memory(row, 91)), [Problem::NearMemoryLimit { ratio: 0.91 }]);
        assert_eq!(watched.at(2, |row| row.cgroup.limits.memory_limit_bytes = Some(0)), [], "unlimited");
    }

    #[test]
    fn a_container_is_starved_if_it_waits_longer_than_it_runs_and_its_quota_is_not_the_cause() {
        let mut watched = Watched::new();
        let rates = |cores, waiting| {
            move |row: &mut ContainerRow| {
                row.rates = Rates { cpu_cores: Some(cores), waiting: Some(waiting) };
            }
        };
        assert_eq!(watched.at(0, rates(0.5, 0.5)), []);
        assert_eq!(watched.at(1, rates(0.25, 0.75)), [Problem::StarvedOfCpu { ratio: 0.75 }]);
        assert_eq!(watched.at(2, rates(0.01, 0.09)), [], "does almost nothing");
        watched.at(3, |row| (row.cgroup.cpu.periods, row.cgroup.cpu.throttled_periods) = (Some(0), Some(0)));
        let found = watched.at(9, |row| {
            rates(0.25, 0.75)(row);
            (row.cgroup.cpu.periods, row.cgroup.cpu.throttled_periods) = (Some(60), Some(60));
        });
        assert_eq!(found, [Problem::Throttled { ratio: 1.0 }]);
    }

    #[test]
    fn an_oom_kill_is_a_problem_for_ten_minutes() {
        let mut watched = Watched::new();
        let kill = |row: &mut ContainerRow| {
            row.oom.this_run = Some(6);
            row.oom.last_at = Some(SystemTime::UNIX_EPOCH);
        };
        let ago = Duration::from_secs(599);
        assert_eq!(watched.at(599, kill), [Problem::OomKilled { kills: Some(6), ago }]);
        assert_eq!(watched.at(600, kill), []);
        // The runtime reports a kill that the agent did not see.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(700);
        let exit = LastExit { at, code: Some(137), reason: Some(ExitReason::OomKilled) };
        let found = watched.at(701, |row| row.status.last_exit = Some(exit));
        assert_eq!(found, [Problem::OomKilled { kills: Some(6), ago: Duration::from_secs(1) }]);
    }

    #[test]
    fn setting_the_wall_clock_does_not_change_the_age_of_a_kill() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(5, |row| row.oom.last_at = Some(SystemTime::UNIX_EPOCH)).len(), 1);
        let (wall, monotonic) =
            (SystemTime::UNIX_EPOCH + CRASH_WINDOW, watched.begun + Duration::from_secs(6));
        watched.problems.fill(std::slice::from_mut(&mut watched.row), Moment { wall, monotonic });
        let ago = Duration::from_secs(6);
        assert_eq!(watched.row.problems, [Problem::OomKilled { kills: None, ago }]);
    }

    #[test]
    fn restarts_after_the_first_reading_count_for_ten_minutes() {
        let mut watched = Watched::new();
        let restarts = |count| move |row: &mut ContainerRow| row.status.restarts = Some(count);
        assert_eq!(watched.at(0, restarts(900)), [], "restarts of unknown age");
        assert_eq!(watched.at(1, restarts(903)), []);
        assert_eq!(watched.at(2, restarts(904)), [Problem::CrashLooping { restarts: 4, code: None }]);
        assert_eq!(watched.at(600, |_| ()), [Problem::CrashLooping { restarts: 4, code: None }]);
        assert_eq!(watched.at(601, |_| ()), []);
        assert_eq!(watched.at(602, restarts(u64::MAX)).len(), 1);
        assert_eq!(watched.problems.histories["a"].restarted.len(), RESTARTS_MAX);
        assert_eq!(watched.at(2000, restarts(0)), [], "recreated");
    }

    #[test]
    fn only_the_last_minute_of_throttling_counts() {
        let mut watched = Watched::new();
        let cpu = |periods, throttled| {
            move |row: &mut ContainerRow| {
                row.cgroup.cpu.periods = Some(periods);
                row.cgroup.cpu.throttled_periods = Some(throttled);
            }
        };
        assert_eq!(watched.at(0, cpu(10_000, 9_000)), [], "periods of unknown age");
        assert_eq!(watched.at(1, cpu(10_010, 9_010)), [], "too few periods");
        assert_eq!(watched.at(10, cpu(10_100, 9_025)), [Problem::Throttled { ratio: 0.25 }]);
        for seconds in (20..=90).step_by(10) {
            watched.at(seconds, cpu(10_000 + seconds * 10, 9_025));
        }
        assert_eq!(watched.row.problems, [], "no throttling within the last minute");
        assert_eq!(watched.at(91, cpu(5, 5)), [], "a new cgroup");
        assert_eq!(watched.at(95, cpu(45, 45)), [Problem::Throttled { ratio: 1.0 }]);
    }

    #[test]
    fn the_history_of_a_removed_container_is_dropped() {
        let mut watched = Watched::new();
        watched.at(0, |_| ());
        watched.problems.fill(&mut [], Moment { wall: SystemTime::UNIX_EPOCH, monotonic: watched.begun });
        assert!(watched.problems.histories.is_empty());
    }
}
