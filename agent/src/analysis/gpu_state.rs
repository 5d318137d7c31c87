//! What each container is doing with its GPUs: one of six states, fused from what the collectors read. Costs no
//! reading of its own; see [`decide`] for the table.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot, gpu_state::GpuState, host::Host},
};

/// A call to the driver that takes longer hangs: the longest that CUDA makes, pinning many GB, take seconds.
const STUCK: Duration = Duration::from_secs(10);
/// GPU memory that grew or a context that was made this recently is loading.
const LOADING: Duration = Duration::from_secs(5);
/// Utilisation from here on is work; below are the driver's own chores.
const BUSY_RATIO: f64 = 0.01;

/// What is known of a container at one tick. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// It got GPU memory, a context or a channel from the driver. Who only asks the driver how the GPUs are, like
    /// nvidia-smi, gets none.
    pub granted: Option<bool>,
    /// Time since a call of those in flight began or ended.
    pub waiting: Option<Duration>,
    /// The highest utilisation of a GPU by it.
    pub utilization_ratio: Option<f64>,
    /// NVML sees it on a GPU.
    pub seen_on_gpu: bool,
    /// Share of the time in which its threads were ready to run that they had no CPU.
    pub cpu_wait_share: Option<f64>,
    /// Its waits for a CPU, in seconds per second.
    pub cpu_wait_rate: Option<f64>,
    /// Time since it last got GPU memory, or a context or a channel.
    pub grew: Option<Duration>,
}

/// The decision table; the first row that holds decides. Where what a row asks is not known, it does not hold, and where
/// whether a GPU works for the container is not known, the rows below that are not told apart and there is no state.
///
/// | state | holds where |
/// |---|---|
/// | `stuck_in_driver` | calls to the driver are in flight, and for 10 s none began or ended |
/// | `no_gpu` | the driver never gave it GPU memory, a context or a channel, and NVML does not see it |
/// | `busy` | a GPU was utilised by it for 1 % or more |
/// | `waiting_for_cpu` | its threads waited for CPUs longer than they ran, and 0.1 s a second or more |
/// | `loading` | it got GPU memory, a context or a channel within 5 s |
/// | `idle_with_memory` | else |
#[must_use]
pub fn decide(evidence: &Evidence) -> Option<GpuState> {
    // Before any other: the first call of all may hang.
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

/// What is remembered of a container from tick to tick.
struct Before {
    read: Instant,
    wait_ns: u64,
    oncpu_ns: u64,
    grown: u64,
    grew: Option<Instant>,
}

/// Which sources there are.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// This host has an NVIDIA driver, a GPU that NVML reports, or both. Without, a container has no state.
    pub present: bool,
    /// The driver's calls are traced, or there is no driver.
    pub driver: bool,
    /// NVML answers.
    pub nvml: bool,
}

impl Sources {
    /// Those of a host.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let nvml = host.nvml.as_ref().is_some_and(|nvml| nvml.up);
        let driver = host.nvidia_tracing.unwrap_or_default();
        Self { present: nvml || !host.gpus.is_empty() || driver.is_present, driver: driver.is_complete, nvml }
    }
}

/// Decides for every container at every tick.
#[derive(Default)]
pub struct GpuStates {
    before: HashMap<u64, Before>,
}

impl GpuStates {
    /// Fills in the state of living containers. One that has ended keeps its last state.
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
        // Who is on no GPU uses none.
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

    /// On a GPU, with nothing going on.
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
    fn each_row_of_the_table_is_reached() {
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
    fn the_first_row_that_holds_decides() {
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
            "the agent came later"
        );
    }

    #[test]
    fn what_is_not_known_is_no_state() {
        assert_eq!(state(|e| e.utilization_ratio = None), None);
        assert_eq!(
            state(|e| (e.utilization_ratio, e.waiting) = (None, Some(STUCK))),
            Some("stuck_in_driver")
        );
        assert_eq!(state(|e| (e.granted, e.seen_on_gpu) = (None, false)), Some("idle_with_memory"));
    }

    #[test]
    fn a_short_wait_is_not_starving_nor_is_a_short_call_stuck() {
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
    fn what_grew_is_loading_until_it_has_not_for_a_while() {
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
    fn without_nvml_who_has_a_context_has_no_state_and_who_has_none_has_no_gpu() {
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
        assert_eq!(ended.gpu_state, None, "it was not in the previous snapshot");
    }

    fn context() -> crate::snapshot::nvidia_driver::DriverUsage {
        let mut usage = crate::snapshot::nvidia_driver::DriverUsage::default();
        usage.counters.contexts = 1;
        usage
    }

    #[test]
    fn who_only_asks_the_driver_how_the_gpus_are_has_no_gpu_unless_the_call_hangs() {
        let (mut states, mut row) = (GpuStates::default(), row());
        let sources = Sources { present: true, driver: true, nvml: true };
        let mut asks = crate::snapshot::nvidia_driver::DriverUsage::default();
        asks.counters.undecoded = 7;
        row.nvidia_driver = Some(Box::new(asks.clone()));
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        assert_eq!(row.gpu_state, Some(GpuState::NoGpu));
        asks.waiting = Some(STUCK);
        row.nvidia_driver = Some(Box::new(asks));
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
