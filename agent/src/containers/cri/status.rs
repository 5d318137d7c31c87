//! The status of a container, as a Kubernetes runtime reports it. The state only advances: created, running, exited.
//! Reports of an earlier state change nothing. A container is never restarted: Kubernetes creates another one in its
//! place, with the number of predecessors as its `attempt`. Pure.

use super::{
    messages::{CREATED, ContainerStatus, EXITED, OOM_KILLED, READY, RUNNING},
    names::time_of,
};
use crate::{
    containers::lifecycle::{Exit, ReportedStatus},
    snapshot::lifecycle::ContainerState,
};

/// Applies a container of a listing.
pub(super) fn listed(known: &mut ReportedStatus, state: i32, created_at: i64, attempt: u32) {
    known.created_at = time_of(created_at).or(known.created_at);
    known.restarts = Some(u64::from(attempt));
    match state {
        CREATED => advance(known, ContainerState::Created),
        RUNNING => advance(known, ContainerState::Running),
        EXITED => advance(known, ContainerState::Exited),
        _ => {}
    }
}

/// Applies a response about one container, or the status in an event.
pub(super) fn apply(known: &mut ReportedStatus, status: &ContainerStatus) {
    let attempt = status.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
    listed(known, status.state, status.created_at, attempt);
    if status.state == EXITED
        && let Some(at) = time_of(status.finished_at)
    {
        known.last_exit = Some(Exit { at, code: u32::try_from(status.exit_code).ok() });
        if status.reason == OOM_KILLED {
            known.oom_at = Some(at);
        }
    }
}

/// Applies a pod's sandbox. Its exit is not reported.
pub(super) fn sandbox(known: &mut ReportedStatus, state: i32, created_at: i64, attempt: u32) {
    listed(known, if state == READY { RUNNING } else { EXITED }, created_at, attempt);
}

/// True if a query would add information: for a container that has exited (`about_exit`, or according to the runtime) its
/// exit, otherwise whether it runs.
pub(super) fn needs_query(known: &ReportedStatus, about_exit: bool) -> bool {
    let ended = about_exit || known.state == Some(ContainerState::Exited);
    if ended { known.last_exit.is_none() } else { rank(known.state) < rank(Some(ContainerState::Running)) }
}

fn advance(known: &mut ReportedStatus, state: ContainerState) {
    if rank(Some(state)) > rank(known.state) {
        known.change(state);
    }
}

fn rank(state: Option<ContainerState>) -> u8 {
    match state {
        None => 0,
        Some(ContainerState::Created) => 1,
        Some(ContainerState::Running | ContainerState::Paused | ContainerState::Restarting) => 2,
        Some(ContainerState::Exited | ContainerState::Dead) => 3,
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
        let mut known = ReportedStatus::default();
        for (state, expected) in [
            (CREATED, ContainerState::Created),
            (RUNNING, ContainerState::Running),
            (CREATED, ContainerState::Running),
            (EXITED, ContainerState::Exited),
            (RUNNING, ContainerState::Exited),
            (3, ContainerState::Exited),
            (i32::MIN, ContainerState::Exited),
        ] {
            apply(&mut known, &status(state));
            assert_eq!(known.state, Some(expected));
        }
        assert_eq!((known.restarts, known.created_at), (Some(4), time_of(NOW_NS)));
        let at = time_of(NOW_NS + 5).unwrap();
        assert_eq!((known.last_exit, known.oom_at), (Some(Exit { at, code: Some(137) }), Some(at)));
    }

    #[test]
    fn impossible_codes_and_times_are_unknown() {
        let mut known = ReportedStatus::default();
        apply(&mut known, &ContainerStatus { exit_code: -1, created_at: i64::MIN, ..status(EXITED) });
        assert_eq!((known.last_exit.unwrap().code, known.created_at), (None, None));
        let mut known = ReportedStatus::default();
        apply(&mut known, &ContainerStatus { finished_at: -7, ..status(EXITED) });
        assert_eq!((known.state, known.last_exit, known.oom_at), (Some(ContainerState::Exited), None, None));
    }

    #[test]
    fn a_container_is_open_while_a_response_would_add_something() {
        let mut known = ReportedStatus::default();
        listed(&mut known, CREATED, NOW_NS, 0);
        assert!(needs_query(&known, false));
        listed(&mut known, RUNNING, NOW_NS, 0);
        assert!(!needs_query(&known, false) && needs_query(&known, true));
        listed(&mut known, EXITED, NOW_NS, 0);
        assert!(needs_query(&known, false));
        apply(&mut known, &status(EXITED));
        assert!(!needs_query(&known, false) && !needs_query(&known, true));
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
            let mut known = ReportedStatus::default();
            for (state, at_ns) in states {
                let before = rank(known.state);
                apply(&mut known, &ContainerStatus { created_at: at_ns, finished_at: at_ns, ..status(state) });
                proptest::prop_assert!(rank(known.state) >= before);
            }
            if let Ok(status) = ContainerStatus::decode(bytes.as_slice()) {
                apply(&mut known, &status);
                let again = ContainerStatus::decode(status.encode_to_vec().as_slice());
                proptest::prop_assert_eq!(again.as_ref(), Ok(&status));
            }
            let _ = ContainerEventResponse::decode(bytes.as_slice());
            let _ = (ListContainersResponse::decode(bytes.as_slice()), ListPodSandboxResponse::decode(bytes.as_slice()));
        }
    }
}
