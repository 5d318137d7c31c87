//! Container lifecycle: start, state, health, restarts, exit, metadata.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    exposition::family::Family,
    snapshot::lifecycle::{ContainerState, Health},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_last_seen")
        .help("Unix time at which the container was last seen running, in whole seconds.")
        .source("agent clock at the last tick in which the container ran")
        .unit("seconds")
        .inherited()
        .outlives_container()
        .labelled(|row, emit| emit.count(unix_seconds(row.last_seen))),
    Family::gauge("container_start_time_seconds")
        .help("Unix time at which the container was started, in whole seconds.")
        .source("runtime; otherwise the creation time of the cgroup")
        .inherited()
        .outlives_container()
        .labelled(|row, emit| emit.count(row.identity.started_at.map(unix_seconds))),
    Family::gauge("container_creation_time_seconds")
        .help("Unix time at which the container was created, in whole seconds.")
        .source("runtime; otherwise the creation time of the cgroup")
        .outlives_container()
        .cadvisor(|row, emit| emit.count(row.status.created_at.map(unix_seconds))),
    Family::gauge("container_health_state")
        .help(
            "Result of the health check: 1 for healthy, 0 for starting or unhealthy, -1 if the container \
             has no health check.",
        )
        .source("Docker and Podman events, and one query after each start")
        .outlives_container()
        .cadvisor(|row, emit| {
            emit.real(row.status.health.map(|health| match health {
                Health::Healthy => 1.0,
                Health::Starting | Health::Unhealthy => 0.0,
                Health::Unchecked => -1.0,
            }));
        }),
    Family::gauge("glassbox_container_health_status")
        .help(
            "Health check status: 1 for the current status, 0 for all others. Absent without a health \
             check.",
        )
        .source("Docker and Podman events, and one query after each start")
        .labels(&["status"])
        .outlives_container()
        .container(|row, emit| {
            if let Some(health) = row.status.health.filter(|health| *health != Health::Unchecked) {
                for status in Health::CHECKED {
                    emit.with(&[status.as_str()]).count(u64::from(status == health));
                }
            }
        }),
    Family::gauge("glassbox_container_state")
        .help(
            "Container state: 1 for the current state, 0 for all others. Only running and exited if no \
             runtime reports the state.",
        )
        .source("runtime events, or a query when the cgroup is removed; existence of the cgroup")
        .labels(&["state"])
        .outlives_container()
        .container(|row, emit| {
            let Some(current) = row.status.state else { return };
            let states: &[ContainerState] =
                if row.status.reported { &ContainerState::ALL } else { &ContainerState::OF_CGROUP };
            for state in states {
                emit.with(&[state.as_str()]).count(u64::from(*state == current));
            }
        }),
    Family::counter("glassbox_container_restarts_total")
        .help("Restarts of the container; in Kubernetes, the number of earlier containers in its place.")
        .source(
            "runtime: starts after an exit, or CRI's attempt; without a runtime, cgroups of the same \
             container since the agent started",
        )
        .container(|row, emit| emit.count(row.status.restarts)),
    Family::gauge("glassbox_container_last_exit_code")
        .help(
            "Exit code of the container's last run, or 128 plus the signal number if a signal ended it. \
             Kept for containers.keep_ended_s after the exit, even if the container, or in Kubernetes its \
             replacement, runs again.",
        )
        .source("runtime")
        .outlives_container()
        .container(|row, emit| {
            emit.count(row.status.last_exit.and_then(|exit| exit.code).map(u64::from));
        }),
    Family::gauge("glassbox_container_last_exit_reason")
        .help(
            "Always 1. Label reason: why the container's last run ended (completed, error, oom_killed, \
             gpu_memory, gpu_fault or the name of a signal). gpu_memory: the driver refused GPU memory at \
             most 10 s before a failure and granted none since. gpu_fault: an Xid error of its GPU at most \
             10 s before. Kept as long as the exit code.",
        )
        .source("exit code; OOM kills in the container, refused GPU memory and Xid errors at that time")
        .labels(&["reason"])
        .outlives_container()
        .container(|row, emit| {
            if let Some(reason) = row.status.last_exit.and_then(|exit| exit.reason) {
                emit.with(&[reason.as_str()]).count(1);
            }
        }),
    Family::gauge("glassbox_container_info")
        .help(
            "Always 1. Labels: metadata of the container. parent_id is the ID of the enclosing container, \
             if any.",
        )
        .source("cgroup path and runtime")
        .labels(&["runtime", "parent_id"])
        .outlives_container()
        .labelled(|row, emit| {
            let runtime = row.identity.runtime.as_str();
            match &row.identity.parent_id {
                Some(parent) => emit.with(&[runtime, parent]).count(1),
                None => emit.with(&[runtime]).count(1),
            }
        }),
    Family::gauge("glassbox_container_running")
        .help("1 while the container runs; 0 after it ended, while its final counters are kept.")
        .source("processes in the cgroup; runtime")
        .outlives_container()
        .container(|row, emit| emit.count(u64::from(row.is_running()))),
];

/// Whole seconds, as cAdvisor exports them: they compress far better than fractions.
#[expect(clippy::disallowed_methods, reason = "not an age: the format of a timestamp")]
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
