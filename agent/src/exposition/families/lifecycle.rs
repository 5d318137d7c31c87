//! That a container is there: since when, until when, under which names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    exposition::family::Family,
    snapshot::lifecycle::{Health, State},
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_last_seen")
        .help("When the container was last seen running, in whole seconds since 1970.")
        .source("the agent's clock at the last tick at which the container ran")
        .unit("seconds")
        .inherited()
        .outlives_container()
        .labelled(|row, emit| emit.count(unix_seconds(row.last_seen))),
    Family::gauge("container_start_time_seconds")
        .help("When the container was started, in whole seconds since 1970.")
        .source("the runtime, else when the cgroup was made")
        .inherited()
        .outlives_container()
        .labelled(|row, emit| emit.count(row.identity.started_at.map(unix_seconds))),
    Family::gauge("container_creation_time_seconds")
        .help("When the container was made, in whole seconds since 1970.")
        .source("the runtime, else when the cgroup was made")
        .outlives_container()
        .cadvisor(|row, emit| emit.count(row.life.created_at.map(unix_seconds))),
    Family::gauge("container_health_state")
        .help(
            "1 where the container's health check passes, 0 where it does not or has not yet, -1 where \
               there is none.",
        )
        .source("events of Docker and Podman, and one question after each start")
        .outlives_container()
        .cadvisor(|row, emit| {
            emit.real(row.life.health.map(|health| match health {
                Health::Healthy => 1.0,
                Health::Starting | Health::Unhealthy => 0.0,
                Health::Unchecked => -1.0,
            }));
        }),
    Family::gauge("glassbox_container_health")
        .help("1 for what the container's health check says, 0 for what it does not. Absent without one.")
        .source("events of Docker and Podman, and one question after each start")
        .labels(&["status"])
        .outlives_container()
        .container(|row, emit| {
            if let Some(health) = row.life.health.filter(|health| *health != Health::Unchecked) {
                for status in Health::CHECKED {
                    emit.with(&[status.as_str()]).count(u64::from(status == health));
                }
            }
        }),
    Family::gauge("glassbox_container_state")
        .help(
            "1 for what the container is doing, 0 for what it is not. Without a runtime that tells, \
               only running and exited.",
        )
        .source("the runtime's events, or a question when its cgroup is gone; whether that is there")
        .labels(&["state"])
        .outlives_container()
        .container(|row, emit| {
            let Some(current) = row.life.state else { return };
            let states: &[State] = if row.life.told { &State::ALL } else { &State::OF_CGROUP };
            for state in states {
                emit.with(&[state.as_str()]).count(u64::from(*state == current));
            }
        }),
    Family::counter("glassbox_container_restarts_total")
        .help(
            "How often the container was started again; in Kubernetes, how many ran in its place before \
               it.",
        )
        .source(
            "the runtime: starts after an end, CRI's attempt; without one, cgroups of the same \
                 container since the agent's start",
        )
        .container(|row, emit| emit.count(row.life.restarts)),
    Family::gauge("glassbox_container_last_exit_code")
        .help(
            "The exit code of the container's last run, 128 and the signal's number where one ended it; \
               for containers.keep_ended_s after that end, whether or not it, or in Kubernetes another \
               one in its place, runs since.",
        )
        .source("the runtime")
        .outlives_container()
        .container(|row, emit| {
            emit.count(row.life.last_exit.and_then(|exit| exit.code).map(u64::from));
        }),
    Family::gauge("glassbox_container_last_exit_reason")
        .help(
            "Always 1; the label is why the container's last run ended: completed, error, oom_killed, \
               or the name of a signal. As long as the exit code.",
        )
        .source("the exit code; whether the kernel killed a process at that time because memory ran out")
        .labels(&["reason"])
        .outlives_container()
        .container(|row, emit| {
            if let Some(reason) = row.life.last_exit.and_then(|exit| exit.reason) {
                emit.with(&[reason.as_str()]).count(1);
            }
        }),
    Family::gauge("glassbox_container_info")
        .help(
            "Always 1; its labels are all that is known of who the container is. `parent_id` is there \
               where it runs in another container: the id of that.",
        )
        .source("the cgroup path and the runtime")
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
        .help("1 while the container runs; 0 when it has ended and its final counters are kept.")
        .source("whether its cgroup has processes; the runtime")
        .outlives_container()
        .container(|row, emit| emit.count(u64::from(row.is_running()))),
];

/// cAdvisor gives whole seconds, too: they compress far better than fractions that nobody reads.
#[expect(clippy::disallowed_methods, reason = "no age: how a timestamp is written")]
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
