//! `/api/v1/containers`: the containers of the snapshot as JSON, for scripts. The metrics have more.
//!
//! Members without a value are absent. Sizes are in bytes and times in seconds; `*_total` are counters.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde::Serialize;

use super::page::{Language, Words};
use crate::snapshot::{
    ContainerRow, Snapshot, gpu_state::GpuState, health::WorkHealth, lifecycle::ExitReason,
};

#[derive(Serialize)]
struct Answer<'a> {
    host: &'a str,
    /// Since the epoch.
    taken_at_seconds: f64,
    #[serde(skip_serializing_if = "is_false")]
    demo: bool,
    containers: Vec<Container<'a>>,
}

#[derive(Serialize)]
struct Container<'a> {
    /// The label `container` of the metrics.
    container: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    id: &'a str,
    name: &'a str,
    image: &'a str,
    runtime: &'static str,
    running: bool,
    /// The most severe first.
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds_total: Option<f64>,
    /// CPU time used per second, and the share of the runnable time in which threads waited for a CPU: means of the last half
    /// minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_cores: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_wait_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_working_set_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<Gpu<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_exit_code: Option<u32>,
    /// The label `reason` of `glassbox_container_last_exit_reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_exit_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Problem {
    problem: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Gpu<'a> {
    gpu: u32,
    uuid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    utilization_ratio: Option<f64>,
}

/// The JSON text.
///
/// # Errors
/// A number that JSON cannot contain.
pub(super) fn containers(snapshot: &Snapshot) -> anyhow::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a timestamp, not an age")]
    let since_epoch = snapshot.taken_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let answer = Answer {
        host: &snapshot.agent.hostname,
        taken_at_seconds: since_epoch.as_secs_f64(),
        demo: snapshot.agent.demo,
        containers: snapshot.containers.iter().filter(|row| row.owns_name).map(container).collect(),
    };
    let mut text = serde_json::to_vec(&answer).context("write the containers as JSON")?;
    text.push(b'\n');
    Ok(text)
}

fn container(row: &ContainerRow) -> Container<'_> {
    let identity = &row.identity;
    Container {
        container: &identity.container,
        namespace: identity.namespace.as_deref(),
        pod: identity.pod.as_deref(),
        id: &identity.id,
        name: &identity.name,
        image: &identity.image,
        runtime: identity.runtime.as_str(),
        running: row.is_running(),
        problems: row
            .problems
            .iter()
            .map(|problem| Problem {
                problem: problem.name(),
                text: Words(problem, Language::English).to_string(),
            })
            .collect(),
        health: row.health.map(WorkHealth::state),
        cpu_seconds_total: row
            .cgroup
            .cpu
            .usage_ns
            .map(|usage_ns| Duration::from_nanos(usage_ns).as_secs_f64()),
        cpu_cores: row.rates.cpu_cores,
        cpu_wait_ratio: row.rates.wait_ratio(),
        memory_working_set_bytes: row.cgroup.memory.working_set_bytes,
        memory_limit_bytes: row.cgroup.limits.finite_memory_bytes(),
        gpu_state: row.gpu_state.map(GpuState::name),
        gpus: row
            .gpus
            .iter()
            .map(|gpu| Gpu {
                gpu: gpu.index,
                uuid: &gpu.uuid,
                memory_used_bytes: gpu.memory_used_bytes,
                utilization_ratio: gpu.utilization_ratio.filter(|ratio| ratio.is_finite()),
            })
            .collect(),
        requests_in_flight: row.requests.as_ref().map(|requests| requests.in_flight),
        restarts_total: row.status.restarts,
        last_exit_code: row.status.last_exit.and_then(|exit| exit.code),
        last_exit_reason: row.status.last_exit.and_then(|exit| exit.reason).map(ExitReason::as_str),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::{
        agent::AgentUsage, identity::Identity, lifecycle::LastExit, problem, rates::Rates,
        requests::RequestUsage,
    };

    #[test]
    fn the_containers_are_valid_json_whatever_their_names_are() {
        let identity =
            Identity { id: "abc".into(), container: "\"</script>\u{0}\n".into(), ..Identity::default() };
        let mut row = ContainerRow::new(Arc::new(identity), SystemTime::UNIX_EPOCH);
        row.problems = vec![problem::Problem::CrashLooping { restarts: 5, code: Some(1) }];
        row.rates = Rates { cpu_cores: Some(0.25), waiting: Some(0.75) };
        row.status.restarts = Some(5);
        let reason = Some(ExitReason::GpuMemory);
        row.status.last_exit = Some(LastExit { at: SystemTime::UNIX_EPOCH, code: Some(1), reason });
        row.requests = Some(Box::new(RequestUsage { in_flight: 3, ..RequestUsage::default() }));
        let snapshot = Snapshot {
            delivery: Default::default(),
            taken_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            containers: vec![row],
            host: Default::default(),
            agent: AgentUsage { hostname: "gpu-node-7".into(), ..AgentUsage::default() },
        };
        let answer: Value = serde_json::from_slice(&containers(&snapshot).unwrap()).unwrap();
        assert_eq!(
            answer,
            json!({
                "host": "gpu-node-7",
                "taken_at_seconds": 1.5,
                "containers": [{
                    "container": "\"</script>\u{0}\n", "id": "abc", "name": "", "image": "", "runtime": "unknown", "running": true,
                    "problems": [{
                        "problem": "crash_looping", "text": "crash-looping: 5 restarts in 10 min, exit code 1",
                    }],
                    "cpu_cores": 0.25, "cpu_wait_ratio": 0.75, "requests_in_flight": 3, "restarts_total": 5,
                    "last_exit_code": 1, "last_exit_reason": "gpu_memory",
                }],
            })
        );
    }
}
