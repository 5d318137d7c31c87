//! The status of a container, from Docker's events and inspections. Events do not show whether a container has a health
//! check, or whether it will be restarted after an exit.

use std::time::SystemTime;

use super::{
    messages::{Inspected, InspectedState},
    timestamp,
};
use crate::{
    containers::lifecycle::{Exit, ReportedStatus},
    snapshot::lifecycle::{ContainerState, Health},
};

/// Events that change the status but not the names. Podman sends `die`, too, but its filter needs `died`.
pub(super) const EVENTS: [&str; 6] = ["die", "died", "oom", "pause", "unpause", "health_status"];

/// Applies a status event. Other events change nothing.
pub(super) fn apply(status: &mut ReportedStatus, action: &str, exit_code: &str, at: SystemTime) {
    match action {
        "die" | "died" => status.died(exit_code.parse().ok(), at),
        "oom" => status.oom_at = Some(at),
        "pause" => status.change(ContainerState::Paused),
        "unpause" => status.change(ContainerState::Running),
        _ => match action.strip_prefix("health_status: ") {
            Some("healthy") => status.checked(Health::Healthy),
            Some("unhealthy") => status.checked(Health::Unhealthy),
            Some("starting") => status.checked(Health::Starting),
            _ => {}
        },
    }
}

/// True for an event that lacks data which an inspection has: whether the container will be restarted, and the result
/// of Podman's health check.
pub(super) fn needs_inspection(action: &str) -> bool {
    matches!(action, "die" | "died" | "health_status")
}

/// True for an action of [`EVENTS`].
pub(super) fn is_event(action: &str) -> bool {
    let action = action.split_once(':').map_or(action, |(action, _)| action);
    EVENTS.contains(&action)
}

/// Applies an inspection that was requested after `changes` changes. Later changes are newer than the inspection.
pub(super) fn inspected(status: &mut ReportedStatus, container: &Inspected, changes: u64) {
    let time = |text: &Option<String>| text.as_deref().and_then(timestamp::parse);
    status.created_at = time(&container.created).or(status.created_at);
    let restarts = container.restart_count.and_then(|count| u64::try_from(count).ok());
    status.restarts = status.restarts.or(restarts);
    let Some(state) = container.state.as_ref().filter(|_| status.changes == changes) else { return };
    status.state = state.status.as_deref().and_then(state_of).or(status.state);
    status.health = Some(health(state));
    let ended = matches!(
        status.state,
        Some(ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting)
    );
    if let Some(at) = time(&state.finished_at).filter(|_| ended) {
        let code = state.exit_code.and_then(|code| u32::try_from(code).ok());
        // An exit known from an event is kept, because its time identifies the exit.
        status.last_exit = status.last_exit.or(Some(Exit { at, code }));
        if state.oom_killed == Some(true) {
            status.oom_at = status.oom_at.or(Some(at));
        }
    }
}

fn health(state: &InspectedState) -> Health {
    match state.health.as_ref().and_then(|health| health.status.as_deref()) {
        Some("starting") => Health::Starting,
        Some("healthy") => Health::Healthy,
        Some("unhealthy") => Health::Unhealthy,
        _ => Health::Unchecked,
    }
}

/// The state for a status text of Docker or Podman.
pub(super) fn state_of(word: &str) -> Option<ContainerState> {
    Some(match word {
        "created" => ContainerState::Created,
        "running" | "stopping" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "removing" | "exited" => ContainerState::Exited,
        "dead" => ContainerState::Dead,
        _ => return None,
    })
}
