//! The status that follows from the runtime's report and from the cgroup.

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

const NOTHING: ContainerStatus = ContainerStatus {
    state: None,
    reported: false,
    created_at: None,
    restarts: None,
    last_exit: None,
    health: None,
};

fn tracked(ended_at: Option<SystemTime>) -> TrackedRun<'static> {
    TrackedRun {
        ended_at,
        running: ended_at.is_none(),
        made_at: None,
        earlier_runs: 0,
        before: &NOTHING,
        oom: OomKills::default(),
    }
}

fn killed(oom_at: u64) -> OomKills {
    OomKills { this_run: Some(1), earlier_runs: 0, last_at: Some(at(oom_at)) }
}

fn dead(code: u32, second: u64) -> ReportedStatus {
    let mut status = ReportedStatus::default();
    status.created(Some(at(0)));
    status.started(false);
    status.died(Some(code), at(second));
    status
}

fn reason_of(status: &ContainerStatus) -> Option<&'static str> {
    status.last_exit.and_then(|exit| exit.reason).map(ExitReason::as_str)
}

#[test]
fn without_a_runtime_a_container_runs_or_has_exited() {
    let living = lifecycle(None, TrackedRun { made_at: Some(at(3)), earlier_runs: 2, ..tracked(None) });
    assert_eq!((living.state, living.reported), (Some(ContainerState::Running), false));
    assert_eq!((living.created_at, living.restarts), (Some(at(3)), Some(2)));
    assert_eq!((living.last_exit, living.health), (None, None));
    let ended = lifecycle(None, tracked(Some(at(9))));
    assert_eq!(ended.state, Some(ContainerState::Exited));
    assert_eq!(ended.last_exit, Some(LastExit { at: at(9), code: None, reason: None }));
    let starved = lifecycle(None, TrackedRun { oom: killed(8), ..tracked(Some(at(9))) });
    assert_eq!(reason_of(&starved), Some("oom_killed"));
}

#[test]
fn the_exit_code_gives_the_reason() {
    for (code, reason) in [
        (0, "completed"),
        (1, "error"),
        (3, "error"),
        (127, "error"),
        (128, "error"),
        (137, "SIGKILL"),
        (139, "SIGSEGV"),
        (143, "SIGTERM"),
        (128 + 70, "error"),
        (255, "error"),
        (u32::MAX, "error"),
    ] {
        let status = lifecycle(Some(&dead(code, 9)), tracked(Some(at(9))));
        assert_eq!(
            (status.state, reason_of(&status)),
            (Some(ContainerState::Exited), Some(reason)),
            "{code}"
        );
        assert_eq!(status.last_exit.unwrap().code, Some(code));
    }
}

#[test]
fn only_an_oom_kill_near_the_exit_is_its_reason() {
    let at_end = |code, oom| {
        let status = lifecycle(Some(&dead(code, 100)), TrackedRun { oom, ..tracked(Some(at(100))) });
        reason_of(&status)
    };
    assert_eq!(at_end(137, killed(100)), Some("oom_killed"));
    assert_eq!(at_end(137, killed(102)), Some("oom_killed"), "the kill is read at the next tick");
    assert_eq!(at_end(137, killed(50)), Some("SIGKILL"), "a child process was killed");
    assert_eq!(at_end(1, killed(100)), Some("error"), "a child was killed and the main process failed");
    let mut reported = dead(137, 100);
    reported.oom_at = Some(at(100));
    assert_eq!(
        reason_of(&lifecycle(Some(&reported), tracked(None))),
        Some("oom_killed"),
        "if kills are not counted"
    );
    let counted = OomKills { this_run: Some(0), ..OomKills::default() };
    let status = lifecycle(Some(&reported), TrackedRun { oom: counted, ..tracked(None) });
    assert_eq!(reason_of(&status), Some("SIGKILL"), "the kernel's count takes precedence");
    let before_it_was_seen = OomKills { this_run: Some(1), ..OomKills::default() };
    let status = lifecycle(Some(&reported), TrackedRun { oom: before_it_was_seen, ..tracked(None) });
    assert_eq!(reason_of(&status), Some("oom_killed"), "the time comes from the runtime");
}

#[test]
fn the_last_exit_stays_known_during_the_next_run() {
    let mut reported = dead(137, 100);
    let first = lifecycle(Some(&reported), TrackedRun { oom: killed(100), ..tracked(Some(at(100))) });
    reported.started(true);
    // A child process of the next run is killed, long after.
    let oom = OomKills { this_run: Some(1), earlier_runs: 1, last_at: Some(at(200)) };
    let second = lifecycle(Some(&reported), TrackedRun { oom, before: &first, ..tracked(None) });
    assert_eq!((second.state, second.restarts), (Some(ContainerState::Running), Some(1)));
    assert_eq!(reason_of(&second), Some("oom_killed"));
    let third = lifecycle(Some(&reported), TrackedRun { before: &second, ..tracked(Some(at(300))) });
    assert_eq!(
        third.state,
        Some(ContainerState::Exited),
        "the cgroup is gone before Docker reports the exit"
    );
    assert_eq!(third.last_exit, Some(LastExit { at: at(300), code: None, reason: None }));
}

#[test]
fn only_a_running_container_has_a_health() {
    let mut reported = ReportedStatus::default();
    reported.created(None);
    reported.started(false);
    reported.checked(Health::Healthy);
    assert_eq!(lifecycle(Some(&reported), tracked(None)).health, Some(Health::Healthy));
    reported.change(ContainerState::Paused);
    assert_eq!(lifecycle(Some(&reported), tracked(None)).health, Some(Health::Healthy));
    assert_eq!(lifecycle(Some(&reported), tracked(Some(at(1)))).health, None);
    reported.died(Some(0), at(1));
    assert_eq!(lifecycle(Some(&reported), tracked(None)).health, None);
}
