//! Derives the GPU state of each container, one of six, from the values of several collectors. Reads nothing itself.
//! The decision table is in the documentation of [`decide`].

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot, gpu_state::GpuState, host::Host},
};

/// Calls that take longer are considered stuck. The longest calls that CUDA makes, pinning many GB, take seconds.
const STUCK: Duration = Duration::from_secs(10);
/// A container is loading for this long after it got GPU memory, a context or a channel.
const LOADING: Duration = Duration::from_secs(5);
/// Minimum utilization that counts as work. Lower values come from housekeeping of the driver.
const BUSY_RATIO: f64 = 0.01;

/// The data about a container at one tick; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Whether the driver has given it GPU memory, a context or a channel. A program that only queries the driver, such
    /// as nvidia-smi, gets none of these.
    pub granted: Option<bool>,
    /// Time since a call last started or ended, if calls are in flight.
    pub waiting: Option<Duration>,
    /// Its highest utilization of any GPU.
    pub utilization_ratio: Option<f64>,
    /// Whether NVML reports its processes on a GPU.
    pub seen_on_gpu: bool,
    /// Time its threads waited for a CPU, divided by the time they were runnable or running.
    pub cpu_wait_share: Option<f64>,
    /// Time its threads waited for a CPU, in seconds per second.
    pub cpu_wait_rate: Option<f64>,
    /// Time since it last got GPU memory, a context or a channel.
    pub grew: Option<Duration>,
}

/// Applies the decision table; the first row that applies determines the state. A row does not apply if its data is
/// unknown. If the utilization is unknown, `busy` and the rows below it cannot be distinguished, and there is no state.
///
/// | state | condition |
/// |---|---|
/// | `stuck_in_driver` | calls to the driver are in flight, and none has started or ended for 10 s |
/// | `no_gpu` | the driver never gave it GPU memory, a context or a channel, and NVML does not report it on a GPU |
/// | `busy` | its utilization of a GPU is 1 % or more |
/// | `waiting_for_cpu` | its threads waited for CPUs longer than they ran, and at least 0.1 s per second |
/// | `loading` | it got GPU memory, a context or a channel within the last 5 s |
/// | `idle_with_memory` | none of the above |
#[must_use]
pub fn decide(evidence: &Evidence) -> Option<GpuState> {
    // Checked first, because the first call of a container may already hang.
    if evidence.waiting.is_some_and(|waiting| waiting >= STUCK) {
        return Some(GpuState::StuckInDriver);
    }
    if evidence.granted == Some(false) && !evidence.seen_on_gpu {
        return Some(GpuState::NoGpu);
    }
    let utilization = evidence.utilization_ratio?;
    if utilization >= BUSY_RATIO {
        return Some(GpuState::Busy);
    }
    let starved = evidence.cpu_wait_share.is_some_and(|share| share > 0.5);
    if starved && evidence.cpu_wait_rate.is_some_and(|rate| rate >= 0.1) {
        return Some(GpuState::WaitingForCpu);
    }
    if evidence.grew.is_some_and(|grew| grew < LOADING) {
        return Some(GpuState::Loading);
    }
    Some(GpuState::Idle)
}

/// The values of a container at the previous tick.
struct Before {
    read: Instant,
    wait_ns: u64,
    oncpu_ns: u64,
    grown: u64,
    grew: Option<Instant>,
}

/// The available sources.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// Whether this host has an NVIDIA driver or a GPU that NVML reports. Otherwise containers have no GPU state.
    pub present: bool,
    /// Whether calls to the driver are traced, or there is no driver.
    pub driver: bool,
    /// Whether NVML is up.
    pub nvml: bool,
}

impl Sources {
    /// The sources of a host.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let nvml = host.nvml.as_ref().is_some_and(|nvml| nvml.up);
        let driver = host.nvidia_tracing.unwrap_or_default();
        Self { present: nvml || !host.gpus.is_empty() || driver.is_present, driver: driver.is_complete, nvml }
    }
}

/// Derives the state of every container at every tick.
#[derive(Default)]
pub struct GpuStates {
    before: HashMap<u64, Before>,
}

impl GpuStates {
    /// Sets the GPU state of all containers. A container that has ended keeps its last state.
    pub fn fill(&mut self, rows: &mut [ContainerRow], recent: Recent<'_>, sources: Sources, now: Instant) {
        let mut seen = HashMap::with_capacity(self.before.len());
        for row in rows {
            if row.ended_at.is_some() {
                row.gpu_state = recent.container(row.key).and_then(|row| row.gpu_state);
                continue;
            }
            let mut before = self.before.remove(&row.key);
            let evidence = evidence(row, sources, &mut before, now);
            let present = sources.present || row.nvidia_driver.is_some();
            row.gpu_state = present.then(|| decide(&evidence)).flatten();
            seen.extend(before.map(|before| (row.key, before)));
        }
        self.before = seen;
    }
}

impl Derivation for GpuStates {
    fn derive(&mut self, snapshot: &mut Snapshot, recent: Recent<'_>, now: Moment) {
        let sources = Sources::of(&snapshot.host);
        self.fill(&mut snapshot.containers, recent, sources, now.monotonic);
    }
}

fn evidence(row: &ContainerRow, sources: Sources, before: &mut Option<Before>, now: Instant) -> Evidence {
    let driver = row.nvidia_driver.as_ref();
    let scheduler = row.scheduler.as_ref();
    let (wait_ns, oncpu_ns) = scheduler.map_or((0, 0), |usage| (usage.waits.sum_ns, usage.oncpu_ns));
    let grown = driver.map_or(0, |driver| {
        driver.counters.allocations + driver.counters.contexts + driver.counters.channels
    });
    let on_gpu = row.gpus.iter().filter(|gpu| gpu.processes.is_some_and(|processes| processes > 0));
    let utilizations = row.gpus.iter().filter_map(|gpu| gpu.utilization_ratio);
    let mut evidence = Evidence {
        granted: (driver.is_some() || sources.driver).then_some(grown > 0),
        waiting: driver.and_then(|driver| driver.waiting),
        // If NVML is up and does not report the container on any GPU, its utilization is 0.
        utilization_ratio: utilizations
            .reduce(f64::max)
            .or((sources.nvml && row.gpus.is_empty()).then_some(0.0)),
        seen_on_gpu: on_gpu.count() > 0,
        ..Evidence::default()
    };
    let last = before.get_or_insert(Before { read: now, wait_ns, oncpu_ns, grown: 0, grew: None });
    if grown > last.grown {
        last.grew = Some(now);
    }
    evidence.grew = last.grew.map(|grew| now.duration_since(grew));
    let seconds = now.duration_since(last.read).as_secs_f64();
    if scheduler.is_some() && seconds > 0.0 {
        let waited = wait_ns.saturating_sub(last.wait_ns) as f64 / 1e9;
        let ran = oncpu_ns.saturating_sub(last.oncpu_ns) as f64 / 1e9;
        evidence.cpu_wait_rate = Some(waited / seconds);
        evidence.cpu_wait_share = (waited + ran > 0.0).then(|| waited / (waited + ran));
    }
    *last = Before { read: now, wait_ns, oncpu_ns, grown, grew: last.grew };
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container on a GPU, without activity.
    const IDLE: Evidence = Evidence {
        granted: Some(true),
        waiting: None,
        utilization_ratio: Some(0.0),
        seen_on_gpu: true,
        cpu_wait_share: Some(0.1),
        cpu_wait_rate: Some(0.01),
        grew: Some(Duration::from_secs(60)),
    };

    fn state(change: impl FnOnce(&mut Evidence)) -> Option<&'static str> {
        let mut evidence = IDLE;
        change(&mut evidence);
        decide(&evidence).map(GpuState::name)
    }

    #[test]
    fn each_row_of_the_table_can_apply() {
        assert_eq!(state(|_| ()), Some("idle_with_memory"));
        assert_eq!(state(|e| e.grew = Some(Duration::from_secs(1))), Some("loading"));
        assert_eq!(
            state(|e| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.8), Some(0.4))),
            Some("waiting_for_cpu")
        );
        assert_eq!(state(|e| e.utilization_ratio = Some(0.3)), Some("busy"));
        assert_eq!(state(|e| e.waiting = Some(STUCK)), Some("stuck_in_driver"));
        assert_eq!(state(|e| (e.granted, e.seen_on_gpu) = (Some(false), false)), Some("no_gpu"));
    }

    #[test]
    fn the_first_row_that_applies_determines_the_state() {
        let starved = |e: &mut Evidence| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.8), Some(0.4));
        assert_eq!(
            state(|e| {
                starved(e);
                e.grew = Some(Duration::ZERO);
            }),
            Some("waiting_for_cpu")
        );
        assert_eq!(
            state(|e| {
                starved(e);
                e.utilization_ratio = Some(1.0);
            }),
            Some("busy")
        );
        assert_eq!(
            state(|e| {
                e.utilization_ratio = Some(1.0);
                e.waiting = Some(STUCK);
            }),
            Some("stuck_in_driver")
        );
        let nothing = |e: &mut Evidence| (e.granted, e.seen_on_gpu) = (Some(false), false);
        assert_eq!(
            state(|e| {
                nothing(e);
                e.waiting = Some(STUCK);
            }),
            Some("stuck_in_driver"),
            "the first call hangs"
        );
        assert_eq!(
            state(|e| {
                nothing(e);
                e.seen_on_gpu = true;
            }),
            Some("idle_with_memory"),
            "the agent started later"
        );
    }

    #[test]
    fn there_is_no_state_if_the_utilisation_is_unknown_unless_a_call_hangs() {
        assert_eq!(state(|e| e.utilization_ratio = None), None);
        assert_eq!(
            state(|e| (e.utilization_ratio, e.waiting) = (None, Some(STUCK))),
            Some("stuck_in_driver")
        );
        assert_eq!(state(|e| (e.granted, e.seen_on_gpu) = (None, false)), Some("idle_with_memory"));
    }

    #[test]
    fn short_waits_are_not_waiting_for_cpu_and_a_short_call_is_not_stuck() {
        assert_eq!(
            state(|e| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.9), Some(0.02))),
            Some("idle_with_memory")
        );
        assert_eq!(state(|e| e.waiting = Some(Duration::from_secs(9))), Some("idle_with_memory"));
    }

    fn row() -> ContainerRow {
        let identity = crate::snapshot::identity::Identity {
            id: "a".into(),
            cgroup_path: "/docker/a".into(),
            runtime: crate::snapshot::identity::Runtime::Docker,
            container: "a".into(),
            ..Default::default()
        };
        ContainerRow::new(std::sync::Arc::new(identity), std::time::SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_container_is_loading_for_five_seconds_after_it_got_memory() {
        let (mut states, mut row, begun) = (GpuStates::default(), row(), Instant::now());
        let sources = Sources { present: true, driver: true, nvml: true };
        let mut after = |row: &mut ContainerRow, seconds| {
            states.fill(
                std::slice::from_mut(row),
                Recent::default(),
                sources,
                begun + Duration::from_secs(seconds),
            );
            row.gpu_state
        };
        assert_eq!(after(&mut row, 0), Some(GpuState::NoGpu));
        let mut usage = crate::snapshot::nvidia_driver::DriverUsage::default();
        usage.counters.allocations = 3;
        row.nvidia_driver = Some(Box::new(usage));
        assert_eq!(after(&mut row, 1), Some(GpuState::Loading));
        assert_eq!(after(&mut row, 5), Some(GpuState::Loading));
        assert_eq!(after(&mut row, 6), Some(GpuState::Idle));
    }

    #[test]
    fn without_nvml_a_container_with_a_context_has_no_state_and_one_without_has_no_gpu() {
        let (mut states, mut row) = (GpuStates::default(), row());
        let sources = Sources { present: true, driver: true, nvml: false };
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, Some(GpuState::NoGpu));
        row.nvidia_driver = Some(Box::new(context()));
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, None);
    }

    #[test]
    fn a_container_that_has_ended_keeps_its_last_state() {
        let mut states = GpuStates::default();
        let sources = Sources { present: true, driver: true, nvml: true };
        let mut rows = vec![ContainerRow { key: 3, ..row() }, ContainerRow { key: 7, ..row() }];
        rows[1].nvidia_driver = Some(Box::new(context()));
        states.fill(&mut rows, Recent::default(), sources, Instant::now());
        assert_eq!(rows[1].gpu_state, Some(GpuState::Loading));
        let previous = Snapshot {
            delivery: crate::snapshot::Delivery::default(),
            taken_at: std::time::SystemTime::UNIX_EPOCH,
            containers: rows,
            host: Host::default(),
            agent: crate::snapshot::agent::AgentUsage::default(),
        };
        let mut ended = ContainerRow { key: 7, ended_at: Some(previous.taken_at), ..row() };
        let recent = Recent::new(Some(&previous));
        states.fill(std::slice::from_mut(&mut ended), recent, sources, Instant::now());
        assert_eq!(ended.gpu_state, Some(GpuState::Loading));
        ended.key = 8;
        states.fill(std::slice::from_mut(&mut ended), recent, sources, Instant::now());
        assert_eq!(ended.gpu_state, None, "the container was not in the previous snapshot");
    }

    fn context() -> crate::snapshot::nvidia_driver::DriverUsage {
        let mut usage = crate::snapshot::nvidia_driver::DriverUsage::default();
        usage.counters.contexts = 1;
        usage
    }

    #[test]
    fn a_container_that_only_queries_the_driver_has_no_gpu_unless_the_call_hangs() {
        let (mut states, mut row) = (GpuStates::default(), row());
        let sources = Sources { present: true, driver: true, nvml: true };
        let mut queries = crate::snapshot::nvidia_driver::DriverUsage::default();
        queries.counters.undecoded = 7;
        row.nvidia_driver = Some(Box::new(queries.clone()));
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, Some(GpuState::NoGpu));
        queries.waiting = Some(STUCK);
        row.nvidia_driver = Some(Box::new(queries));
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, Some(GpuState::StuckInDriver));
    }

    #[test]
    fn a_host_without_a_driver_and_without_gpus_has_no_states() {
        let mut row = row();
        let mut states = GpuStates::default();
        let sources = Sources { present: false, driver: true, nvml: false };
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, None);
        states.fill(
            std::slice::from_mut(&mut row),
            Recent::default(),
            Sources { present: true, ..sources },
            Instant::now(),
        );
        assert_eq!(row.gpu_state, Some(GpuState::NoGpu));
    }
}
