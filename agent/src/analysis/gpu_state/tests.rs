//! Tests of the decision table, and of the states of containers over time.

use super::*;

/// A container on a GPU, without activity.
const IDLE: Evidence = Evidence {
    granted: Some(true),
    waiting: None,
    computes_on_cpu: false,
    spinning: None,
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
    assert_eq!(state(on_cpu), Some("on_cpu_despite_gpu"));
    assert_eq!(state(spins), Some("spinning"));
}

fn on_cpu(evidence: &mut Evidence) {
    (evidence.granted, evidence.seen_on_gpu, evidence.computes_on_cpu) = (Some(false), false, true);
}

fn spins(evidence: &mut Evidence) {
    (evidence.utilization_ratio, evidence.spinning) = (Some(1.0), Some(SPINNING));
}

#[test]
fn a_container_is_on_the_cpu_despite_its_gpu_only_if_it_certainly_has_no_context() {
    let but = |change: fn(&mut Evidence)| {
        state(|e| {
            on_cpu(e);
            change(e);
        })
    };
    assert_eq!(but(|e| e.computes_on_cpu = false), Some("no_gpu"));
    assert_eq!(but(|e| e.granted = Some(true)), Some("idle_with_memory"));
    assert_eq!(but(|e| e.granted = None), Some("idle_with_memory"), "calls to the driver are not traced");
    assert_eq!(but(|e| e.seen_on_gpu = true), Some("idle_with_memory"), "the agent started later");
    assert_eq!(but(|e| e.utilization_ratio = None), Some("no_gpu"), "without NVML");
    assert_eq!(but(|e| e.waiting = Some(STUCK)), Some("stuck_in_driver"), "its first call hangs");
}

#[test]
fn a_container_is_busy_until_it_has_been_spinning_for_half_a_minute() {
    let but = |change: fn(&mut Evidence)| {
        state(|e| {
            spins(e);
            change(e);
        })
    };
    assert_eq!(but(|e| e.spinning = Some(SPINNING - Duration::from_secs(1))), Some("busy"));
    assert_eq!(but(|e| e.spinning = None), Some("busy"));
    assert_eq!(but(|e| e.utilization_ratio = Some(0.0)), Some("idle_with_memory"), "another container spins");
    assert_eq!(but(|e| e.utilization_ratio = None), None);
    assert_eq!(but(|e| e.waiting = Some(STUCK)), Some("stuck_in_driver"));
    assert_eq!(but(|e| e.grew = Some(Duration::ZERO)), Some("spinning"));
    assert_eq!(but(on_cpu), Some("on_cpu_despite_gpu"), "it is not on the GPU that spins");
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
    assert_eq!(state(|e| (e.utilization_ratio, e.waiting) = (None, Some(STUCK))), Some("stuck_in_driver"));
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
    let sources = Sources { present: true, driver: true, nvml: true, lists_processes: true };
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
    let sources = Sources { present: true, driver: true, nvml: false, lists_processes: false };
    states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
    assert_eq!(row.gpu_state, Some(GpuState::NoGpu));
    row.nvidia_driver = Some(Box::new(context()));
    states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
    assert_eq!(row.gpu_state, None);
}

#[test]
fn a_container_that_has_ended_keeps_its_last_state() {
    let mut states = GpuStates::default();
    let sources = Sources { present: true, driver: true, nvml: true, lists_processes: true };
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
    let sources = Sources { present: true, driver: true, nvml: true, lists_processes: true };
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
    let sources = Sources { present: false, driver: true, nvml: false, lists_processes: false };
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

/// The state of a container that computes on the CPUs with a model, although it was given a GPU.
fn on_cpus(sources: Sources, change: fn(&mut ContainerRow)) -> Option<GpuState> {
    use crate::snapshot::inference::{Inference, Library};
    let (mut states, mut row, begun) = (GpuStates::default(), row(), Instant::now());
    let libraries = [Library::OnnxRuntime].into_iter().collect();
    row.inference = Some(Inference { gpus_given: 1, libraries, has_model_file: true, load: None });
    change(&mut row);
    for second in 0..40 {
        row.cgroup.cpu.usage_ns = Some(second * 4_000_000_000);
        let now = begun + Duration::from_secs(second);
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, now);
    }
    row.gpu_state
}

#[test]
fn a_container_is_on_cpu_only_if_nvml_would_show_it_on_a_gpu() {
    let sources = Sources { present: true, driver: true, nvml: true, lists_processes: true };
    assert_eq!(on_cpus(sources, |_| ()), Some(GpuState::OnCpuDespiteGpu));
    let without_lists = Sources { lists_processes: false, ..sources };
    assert_eq!(
        on_cpus(without_lists, |_| ()),
        Some(GpuState::NoGpu),
        "its context may be older than the agent"
    );
    let with_gpu = |row: &mut ContainerRow| {
        let gpu = crate::snapshot::gpu::ContainerGpu { utilization_ratio: Some(0.9), ..Default::default() };
        row.gpus = vec![gpu];
    };
    assert_eq!(on_cpus(sources, with_gpu), Some(GpuState::Busy));
}
