//! What Docker's events and answers tell of a container's life, and when to ask for what events leave out: whether it
//! has a health check, and whether it will be started again after it died.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummaryStateEnum,
    HealthStatusEnum,
};
use tokio::time::Instant;

use super::timestamp;
use crate::{
    containers::lifecycle::{Exit, Life},
    snapshot::lifecycle::{Health, State},
};

/// The events of a life that leave the names as they are.
pub(super) const EVENTS: [&str; 5] = ["die", "oom", "pause", "unpause", "health_status"];

/// How long after an event a question about the container waits: one that ends or is removed meanwhile needs none, and
/// one that is started again and again is asked about at this pace at most.
const SETTLE: Duration = Duration::from_millis(300);

/// Takes in an event of a life; any other changes nothing.
pub(super) fn apply(life: &mut Life, action: &str, exit_code: &str, at: SystemTime) {
    match action {
        "die" => life.died(exit_code.parse().ok(), at),
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

/// True for an action of [`EVENTS`].
pub(super) fn is_event(action: &str) -> bool {
    let action = action.split_once(':').map_or(action, |(action, _)| action);
    EVENTS.contains(&action)
}

/// Takes in an answer that was asked for after `changes` changes. What changed since is newer.
pub(super) fn inspected(life: &mut Life, container: &ContainerInspectResponse, changes: u64) {
    let time = |text: &Option<String>| text.as_deref().and_then(timestamp::parse);
    life.created_at = time(&container.created).or(life.created_at);
    let restarts = container.restart_count.and_then(|count| u64::try_from(count).ok());
    life.restarts = life.restarts.or(restarts);
    let Some(state) = container.state.as_ref().filter(|_| life.changes == changes) else { return };
    life.state = state.status.and_then(of_answer).or(life.state);
    life.health = Some(health(state));
    let ended = matches!(life.state, Some(State::Exited | State::Dead | State::Restarting));
    if let Some(at) = time(&state.finished_at).filter(|_| ended) {
        let code = state.exit_code.and_then(|code| u32::try_from(code).ok());
        // The event's own time tells one end from another.
        life.last_exit = life.last_exit.or(Some(Exit { at, code }));
        if state.oom_killed == Some(true) {
            life.oom_at = life.oom_at.or(Some(at));
        }
    }
}

fn health(state: &ContainerState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::Unchecked,
    }
}

fn of_answer(status: ContainerStateStatusEnum) -> Option<State> {
    Some(match status {
        ContainerStateStatusEnum::EMPTY => return None,
        ContainerStateStatusEnum::CREATED => State::Created,
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => State::Running,
        ContainerStateStatusEnum::PAUSED => State::Paused,
        ContainerStateStatusEnum::RESTARTING => State::Restarting,
        ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::EXITED => State::Exited,
        ContainerStateStatusEnum::DEAD => State::Dead,
    })
}

/// The state that a listing gives.
pub(super) fn of_listing(state: ContainerSummaryStateEnum) -> Option<State> {
    Some(match state {
        ContainerSummaryStateEnum::EMPTY => return None,
        ContainerSummaryStateEnum::CREATED => State::Created,
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING => State::Running,
        ContainerSummaryStateEnum::PAUSED => State::Paused,
        ContainerSummaryStateEnum::RESTARTING => State::Restarting,
        ContainerSummaryStateEnum::REMOVING | ContainerSummaryStateEnum::EXITED => State::Exited,
        ContainerSummaryStateEnum::DEAD => State::Dead,
    })
}

/// Containers to be asked about, each once, in the order of their times. As long as the listing at most: only
/// containers that are known are entered.
#[derive(Default)]
pub(super) struct Due(VecDeque<(Instant, String)>);

impl Due {
    /// To be asked about at once.
    pub(super) fn now(ids: impl IntoIterator<Item = String>) -> Self {
        let now = Instant::now();
        Self(ids.into_iter().map(|id| (now, id)).collect())
    }

    /// To be asked about when what has just happened to it has settled.
    pub(super) fn soon(&mut self, id: String) {
        if self.0.iter().all(|(_, other)| *other != id) {
            self.0.push_back((Instant::now() + SETTLE, id));
        }
    }

    /// When the next one is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// The next one, if it is due.
    pub(super) fn next(&mut self) -> Option<String> {
        self.0.pop_front_if(|(at, _)| *at <= Instant::now()).map(|(_, id)| id)
    }
}
