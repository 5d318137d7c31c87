//! The status of a container, from Docker's events and inspections. Events do not show whether a container has a health
//! check, or whether it will be restarted after an exit.

use std::time::SystemTime;

use super::{
    messages::{Inspected, InspectedState},
    timestamp,
};
use crate::{
    containers::lifecycle::{Exit, Life},
    snapshot::lifecycle::{Health, State},
};

/// Events that change the status but not the names. Podman sends `die`, too, but its filter needs `died`.
pub(super) const EVENTS: [&str; 6] = ["die", "died", "oom", "pause", "unpause", "health_status"];

/// Applies a status event. Other events change nothing.
pub(super) fn apply(life: &mut Life, action: &str, exit_code: &str, at: SystemTime) {
    match action {
        "die" | "died" => life.died(exit_code.parse().ok(), at),
        "oom" => life.oom_at = Some(at),
        "pause" => life.change(State::Paused),
        "unpause" => life.change(State::Running),
        _ => match action.strip_prefix("health_status: ") {
            Some("healthy") => life.checked(Health::Healthy),
            Some("unhealthy") => life.checked(Health::Unhealthy),
            Some("starting") => life.checked(Health::Starting),
            _ => {}
        },
    }
}

/// True for an event that lacks data which an inspection has: whether the container will be restarted, and the result
/// of Podman's health check.
pub(super) fn leaves_out(action: &str) -> bool {
    matches!(action, "die" | "died" | "health_status")
}

/// True for an action of [`EVENTS`].
pub(super) fn is_event(action: &str) -> bool {
    let action = action.split_once(':').map_or(action, |(action, _)| action);
    EVENTS.contains(&action)
}

/// Applies an inspection that was requested after `changes` changes. Later changes are newer than the inspection.
pub(super) fn inspected(life: &mut Life, container: &Inspected, changes: u64) {
    let time = |text: &Option<String>| text.as_deref().and_then(timestamp::parse);
    life.created_at = time(&container.created).or(life.created_at);
    let restarts = container.restart_count.and_then(|count| u64::try_from(count).ok());
    life.restarts = life.restarts.or(restarts);
    let Some(state) = container.state.as_ref().filter(|_| life.changes == changes) else { return };
    life.state = state.status.as_deref().and_then(state_of).or(life.state);
    life.health = Some(health(state));
    let ended = matches!(life.state, Some(State::Exited | State::Dead | State::Restarting));
    if let Some(at) = time(&state.finished_at).filter(|_| ended) {
        let code = state.exit_code.and_then(|code| u32::try_from(code).ok());
        // An exit known from an event is kept, because its time identifies the exit.
        life.last_exit = life.last_exit.or(Some(Exit { at, code }));
        if state.oom_killed == Some(true) {
            life.oom_at = life.oom_at.or(Some(at));
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
pub(super) fn state_of(word: &str) -> Option<State> {
    Some(match word {
        "created" => State::Created,
        "running" | "stopping" => State::Running,
        "paused" => State::Paused,
        "restarting" => State::Restarting,
        "removing" | "exited" => State::Exited,
        "dead" => State::Dead,
        _ => return None,
    })
}
