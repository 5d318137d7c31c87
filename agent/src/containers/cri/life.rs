//! The status of a container, as a Kubernetes runtime reports it. The state only advances: created, running, exited.
//! Reports of an earlier state change nothing. A container is never restarted: Kubernetes creates another one in its
//! place, with the number of predecessors as its `attempt`. Pure.

use super::{
    messages::{CREATED, ContainerStatus, EXITED, OOM_KILLED, READY, RUNNING},
    names::time_of,
};
use crate::{
    containers::lifecycle::{Exit, Life},
    snapshot::lifecycle::State,
};

/// Applies a container of a listing.
pub(super) fn listed(life: &mut Life, state: i32, created_at: i64, attempt: u32) {
    life.created_at = time_of(created_at).or(life.created_at);
    life.restarts = Some(u64::from(attempt));
    match state {
        CREATED => advance(life, State::Created),
        RUNNING => advance(life, State::Running),
        EXITED => advance(life, State::Exited),
        _ => {}
    }
}

/// Applies a response about one container, or the status in an event.
pub(super) fn told(life: &mut Life, status: &ContainerStatus) {
    let attempt = status.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
    listed(life, status.state, status.created_at, attempt);
    if status.state == EXITED
        && let Some(at) = time_of(status.finished_at)
    {
        life.last_exit = Some(Exit { at, code: u32::try_from(status.exit_code).ok() });
        if status.reason == OOM_KILLED {
            life.oom_at = Some(at);
        }
    }
}

/// Applies a pod's sandbox. Its exit is not reported.
pub(super) fn sandbox(life: &mut Life, state: i32, created_at: i64, attempt: u32) {
    listed(life, if state == READY { RUNNING } else { EXITED }, created_at, attempt);
}

/// True if a response would add something: the exit of a container that has exited (`of_end`, or according to the
/// runtime), else whether it runs.
pub(super) fn is_open(life: &Life, of_end: bool) -> bool {
    let ended = of_end || life.state == Some(State::Exited);
    if ended { life.last_exit.is_none() } else { rank(life.state) < rank(Some(State::Running)) }
}

fn advance(life: &mut Life, state: State) {
    if rank(Some(state)) > rank(life.state) {
        life.change(state);
    }
}

fn rank(state: Option<State>) -> u8 {
    match state {
        None => 0,
        Some(State::Created) => 1,
        Some(State::Running | State::Paused | State::Restarting) => 2,
        Some(State::Exited | State::Dead) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::cri::messages::ContainerMetadata;

    const NOW_NS: i64 = 1_795_365_362_239_103_573;

    fn status(state: i32) -> ContainerStatus {
        ContainerStatus {
            state,
            metadata: Some(ContainerMetadata { name: "app".into(), attempt: 4 }),
            created_at: NOW_NS,
            finished_at: if state == EXITED { NOW_NS + 5 } else { 0 },
            exit_code: 137,
            reason: OOM_KILLED.into(),
            ..ContainerStatus::default()
        }
    }

    #[test]
    fn the_state_only_advances_even_if_reports_arrive_late() {
        let mut life = Life::default();
        for (state, expected) in [
            (CREATED, State::Created),
            (RUNNING, State::Running),
            (CREATED, State::Running),
            (EXITED, State::Exited),
            (RUNNING, State::Exited),
            (3, State::Exited),
            (i32::MIN, State::Exited),
        ] {
            told(&mut life, &status(state));
            assert_eq!(life.state, Some(expected));
        }
        assert_eq!((life.restarts, life.created_at), (Some(4), time_of(NOW_NS)));
        let at = time_of(NOW_NS + 5).unwrap();
        assert_eq!((life.last_exit, life.oom_at), (Some(Exit { at, code: Some(137) }), Some(at)));
    }

    #[test]
    fn impossible_codes_and_times_are_unknown() {
        let mut life = Life::default();
        told(&mut life, &ContainerStatus { exit_code: -1, created_at: i64::MIN, ..status(EXITED) });
        assert_eq!((life.last_exit.unwrap().code, life.created_at), (None, None));
        let mut life = Life::default();
        told(&mut life, &ContainerStatus { finished_at: -7, ..status(EXITED) });
        assert_eq!((life.state, life.last_exit, life.oom_at), (Some(State::Exited), None, None));
    }

    #[test]
    fn a_container_is_open_while_a_response_would_add_something() {
        let mut life = Life::default();
        listed(&mut life, CREATED, NOW_NS, 0);
        assert!(is_open(&life, false));
        listed(&mut life, RUNNING, NOW_NS, 0);
        assert!(!is_open(&life, false) && is_open(&life, true));
        listed(&mut life, EXITED, NOW_NS, 0);
        assert!(is_open(&life, false));
        told(&mut life, &status(EXITED));
        assert!(!is_open(&life, false) && !is_open(&life, true));
    }

    proptest::proptest! {
        #[test]
        fn no_message_causes_a_panic_and_the_state_never_goes_back(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            states in proptest::collection::vec((-2i32..5, proptest::prelude::any::<i64>()), 0..9),
        ) {
            use prost::Message as _;

            use crate::containers::cri::messages::{
                ContainerEventResponse, ListContainersResponse, ListPodSandboxResponse,
            };
            let mut life = Life::default();
            for (state, at_ns) in states {
                let before = rank(life.state);
                told(&mut life, &ContainerStatus { created_at: at_ns, finished_at: at_ns, ..status(state) });
                proptest::prop_assert!(rank(life.state) >= before);
            }
            if let Ok(status) = ContainerStatus::decode(bytes.as_slice()) {
                told(&mut life, &status);
                let again = ContainerStatus::decode(status.encode_to_vec().as_slice());
                proptest::prop_assert_eq!(again.as_ref(), Ok(&status));
            }
            let _ = ContainerEventResponse::decode(bytes.as_slice());
            let _ = (ListContainersResponse::decode(bytes.as_slice()), ListPodSandboxResponse::decode(bytes.as_slice()));
        }
    }
}
