//! The status of a container, as containerd reports it: the state of its task in a listing, then events. Pure.

use std::time::{Duration, SystemTime};

use prost::Message as _;

use super::messages::{CREATED, PAUSED, PAUSING, Process, RUNNING, STOPPED, TaskExit, Timestamp};
use crate::{
    containers::lifecycle::{Exit, ReportedStatus},
    snapshot::lifecycle::ContainerState,
};

/// The topics of the events that change the status, as a regular expression.
pub(super) const TOPICS: &str = "^/tasks/(start|exit|oom|paused|resumed)$";
/// The label in which nerdctl's restart manager counts restarts.
pub(super) const RESTARTS: &str = "containerd.io/restart.count";

/// Records that the container was created, unless an earlier event was seen.
pub(super) fn made(status: &mut ReportedStatus) {
    if status.state.is_none() {
        status.created(status.created_at);
    }
}

/// Applies a task of a listing.
pub(super) fn listed(status: &mut ReportedStatus, task: &Process) {
    match task.status {
        CREATED => status.change(ContainerState::Created),
        RUNNING => status.change(ContainerState::Running),
        PAUSED | PAUSING => status.change(ContainerState::Paused),
        STOPPED => {
            status.change(ContainerState::Exited);
            let at = task.exited_at.and_then(time_of);
            status.last_exit = at.map(|at| Exit { at, code: Some(task.exit_status) }).or(status.last_exit);
        }
        _ => {}
    }
}

/// Applies an event about the task of the container `id`. Other events change nothing.
pub(super) fn apply(status: &mut ReportedStatus, id: &str, topic: &str, event: &[u8], at: SystemTime) {
    match topic {
        // The listing has already reported this start.
        "/tasks/start" if matches!(status.state, Some(ContainerState::Running | ContainerState::Paused)) => {}
        "/tasks/start" => status.started(status.state == Some(ContainerState::Exited)),
        "/tasks/exit" => {
            // The exit may be that of another process in the container.
            if let Ok(exit) = TaskExit::decode(event)
                && exit.id == id
            {
                status.died(Some(exit.exit_status), exit.exited_at.and_then(time_of).unwrap_or(at));
            }
        }
        "/tasks/oom" => status.oom_at = Some(at),
        "/tasks/paused" => status.change(ContainerState::Paused),
        "/tasks/resumed" => status.change(ContainerState::Running),
        _ => {}
    }
}

/// `None` for times before 1970, which mean "not yet".
pub(super) fn time_of(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok().filter(|seconds| *seconds > 0)?;
    let since_epoch = Duration::new(seconds, u32::try_from(timestamp.nanos).ok()?.min(999_999_999));
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp { seconds: 1_795_365_362, nanos: 5 };

    fn exit(id: &str, status: u32) -> Vec<u8> {
        let exited_at = Some(Timestamp { seconds: AT.seconds + 7, ..AT });
        TaskExit { container_id: "web".into(), id: id.into(), exit_status: status, exited_at }.encode_to_vec()
    }

    fn happens(status: &mut ReportedStatus, topic: &str, event: &[u8]) {
        apply(status, "web", topic, event, time_of(AT).unwrap());
    }

    #[test]
    fn starts_after_an_exit_are_restarts_and_the_first_one_is_not() {
        let mut status = ReportedStatus::default();
        status.created(None);
        for (topic, state, restarts) in [
            ("/tasks/start", ContainerState::Running, 0),
            ("/tasks/start", ContainerState::Running, 0),
            ("/tasks/paused", ContainerState::Paused, 0),
            ("/tasks/resumed", ContainerState::Running, 0),
            ("/tasks/exit", ContainerState::Exited, 0),
            ("/tasks/start", ContainerState::Running, 1),
            ("/tasks/delete", ContainerState::Running, 1),
        ] {
            happens(&mut status, topic, &exit("web", 3));
            assert_eq!((status.state, status.restarts), (Some(state), Some(restarts)), "{topic}");
        }
        let last = status.last_exit.unwrap();
        assert_eq!((last.code, last.at), (Some(3), time_of(AT).unwrap() + Duration::from_secs(7)));
    }

    #[test]
    fn the_exit_of_another_process_is_not_the_exit_of_the_container() {
        let mut status = ReportedStatus::default();
        happens(&mut status, "/tasks/start", &[]);
        for event in [exit("exec-1", 1), exit("", 1), vec![255, 255], Vec::new()] {
            happens(&mut status, "/tasks/exit", &event);
            assert_eq!((status.state, status.last_exit), (Some(ContainerState::Running), None));
        }
        happens(&mut status, "/tasks/oom", &[]);
        assert_eq!(status.oom_at, time_of(AT));
    }

    #[test]
    fn a_listed_task_has_a_state_and_an_exit() {
        let mut task_status = ReportedStatus::default();
        let task = |status| Process { status, exit_status: 9, exited_at: Some(AT), ..Process::default() };
        for (status, state) in [
            (0, None),
            (CREATED, Some(ContainerState::Created)),
            (RUNNING, Some(ContainerState::Running)),
            (PAUSING, Some(ContainerState::Paused)),
            (-1, Some(ContainerState::Paused)),
            (STOPPED, Some(ContainerState::Exited)),
        ] {
            listed(&mut task_status, &task(status));
            assert_eq!(task_status.state, state);
            assert_eq!(task_status.last_exit.is_some(), status == STOPPED);
        }
        assert_eq!(task_status.last_exit, Some(Exit { at: time_of(AT).unwrap(), code: Some(9) }));
    }

    proptest::proptest! {
        #[test]
        fn no_event_causes_a_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
            seconds: i64, nanos: i32, status: i32, topic in "/tasks/(start|exit|oom|paused|resumed|delete|.{0,5})",
        ) {
            use super::super::messages::{About, Container, Envelope, ListContainerMessage, ListTasksResponse};
            let mut known = ReportedStatus::default();
            let at = time_of(Timestamp { seconds, nanos });
            if let Some(at) = at {
                apply(&mut known, "web", &topic, &bytes, at);
                apply(&mut known, "web", &topic, &exit("web", status.unsigned_abs()), at);
            }
            let exited_at = Some(Timestamp { seconds, nanos });
            listed(&mut known, &Process { status, exited_at, ..Process::default() });
            // All other messages that containerd may send.
            let _ = (About::decode(bytes.as_slice()), Container::decode(bytes.as_slice()));
            let _ = (Envelope::decode(bytes.as_slice()), ListContainerMessage::decode(bytes.as_slice()));
            let _ = ListTasksResponse::decode(bytes.as_slice());
        }
    }
}
