//! Containers of Docker.

use std::time::{Duration, Instant};

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, IMAGE, Network, eventually},
};

use super::{
    or_skip,
    series::{TIMEOUT, becomes, becomes_state, series, value},
};

/// A daemon for this test. `None` after printing why the test is skipped.
fn docker() -> Option<Docker> {
    or_skip(Docker::own(Network::None))
}

/// An agent for this daemon, with further keys of the table `containers`.
fn agent(docker: &Docker, more: &str) -> Agent {
    let socket = docker.socket().display();
    Agent::start(&format!("tick_ms = 200\n[docker]\nsocket = \"{socket}\"\n[containers]\n{more}\n"))
}

#[test]
fn an_oom_killed_container_has_one_kill_and_its_exit_until_it_is_dropped() {
    let Some(docker) = docker() else { return };
    let (forgetful, usual) = (agent(&docker, "keep_ended_s = 8"), agent(&docker, ""));
    let arguments = ["--memory=32m", "--memory-swap=32m"];
    let command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
    let _container = Container::run(&docker, "starved", &arguments, &command);
    let other = Container::run(&docker, "sated", &arguments, &["sleep", "600"]);
    let name = r#"container="starved""#;
    let killed = [name, r#"reason="oom_killed""#];
    for agent in [&forgetful, &usual] {
        becomes(agent, "container_oom_events_total", &[name], 1.0);
        becomes(agent, "glassbox_container_last_exit_code", &[name], 137.0);
        becomes(agent, "glassbox_container_last_exit_reason", &killed, 1.0);
        becomes_state(agent, name, "exited");
        becomes(agent, "container_oom_events_total", &[r#"container="sated""#], 0.0);
    }
    let begun = Instant::now();
    eventually("the forgetful agent forgets", TIMEOUT, || {
        value(&forgetful, "container_oom_events_total", &[name]).is_none().then_some(())
    });
    assert!(begun.elapsed() > Duration::from_secs(4), "too early: {:?}", begun.elapsed());
    assert!(series(&forgetful, "glassbox_container_state", &[name]).is_empty());
    assert_eq!(value(&usual, "container_oom_events_total", &[name]), Some(1.0));
    assert_eq!(value(&usual, "glassbox_container_last_exit_code", &[name]), Some(137.0));
    assert_eq!(value(&usual, "glassbox_container_last_exit_reason", &killed), Some(1.0));

    // A kill by a user is not an OOM kill.
    docker.run(&["kill", &other.id]);
    let killed = [r#"container="sated""#, r#"reason="SIGKILL""#];
    becomes(&usual, "glassbox_container_last_exit_reason", &killed, 1.0);
    assert_eq!(value(&usual, "container_oom_events_total", &[r#"container="sated""#]), Some(0.0));
}

#[test]
fn restarts_of_a_container_are_counted_in_one_series() {
    let Some(docker) = docker() else { return };
    let agent = agent(&docker, "");
    let _failing =
        Container::run(&docker, "failing", &["--restart=on-failure:2"], &["sh", "-c", "sleep 1; exit 3"]);
    let name = r#"container="failing""#;
    becomes(&agent, "glassbox_container_restarts_total", &[name], 0.0);
    let sets = |family: &str| {
        let found = series(&agent, family, &[name]);
        found.into_iter().map(|(set, _)| set).collect::<Vec<_>>()
    };
    let families = ["container_oom_events_total", "container_creation_time_seconds", "container_last_seen"];
    let before = families.map(sets);
    becomes(&agent, "glassbox_container_restarts_total", &[name], 2.0);
    becomes_state(&agent, name, "exited");
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 3.0);
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="error""#], 1.0);
    assert_eq!(families.map(sets), before, "no label has changed");

    let created = value(&agent, "container_creation_time_seconds", &[name]).unwrap();
    let started = value(&agent, "container_start_time_seconds", &[name]).unwrap();
    assert!((2.0..60.0).contains(&(started - created)), "{created} {started}");
}

/// An agent that starts later reads the same from the listing.
#[test]
fn restarts_before_the_agent_started_are_counted() {
    let Some(docker) = docker() else { return };
    let script = "sleep 0.2; [ -e /once ] && sleep 600; : > /once; exit 3";
    let container = Container::run(&docker, "settled", &["--restart=always"], &["sh", "-c", script]);
    eventually("it is restarted", TIMEOUT, || {
        (container.inspect("{{.RestartCount}} {{.State.Status}}") == "1 running").then_some(())
    });
    let agent = agent(&docker, "");
    let name = r#"container="settled""#;
    becomes(&agent, "glassbox_container_restarts_total", &[name], 1.0);
    becomes_state(&agent, name, "running");
    becomes(&agent, "container_health_state", &[name], -1.0);
    docker.run(&["restart", "--time=0", &container.id]);
    becomes(&agent, "glassbox_container_restarts_total", &[name], 2.0);
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 137.0);
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="SIGKILL""#], 1.0);
    becomes_state(&agent, name, "running");
}

#[test]
fn health_and_pause_are_exported_as_docker_reports_them() {
    let Some(docker) = docker() else { return };
    let agent = agent(&docker, "");
    let check = ["--health-cmd=test -e /well", "--health-interval=1s", "--health-retries=1"];
    let container = Container::run(&docker, "checked", &check, &["sleep", "600"]);
    let _unchecked = Container::run(&docker, "unchecked", &[], &["sleep", "600"]);
    let name = r#"container="checked""#;
    let status = |status: &str| format!("status=\"{status}\"");
    becomes(&agent, "container_health_state", &[name], 0.0);
    becomes(&agent, "glassbox_container_health_status", &[name, &status("unhealthy")], 1.0);
    docker.run(&["exec", &container.id, "sh", "-c", ": > /well"]);
    becomes(&agent, "glassbox_container_health_status", &[name, &status("healthy")], 1.0);
    assert_eq!(value(&agent, "container_health_state", &[name]), Some(1.0));
    assert_eq!(value(&agent, "glassbox_container_health_status", &[name, &status("unhealthy")]), Some(0.0));
    becomes(&agent, "container_health_state", &[r#"container="unchecked""#], -1.0);
    assert!(series(&agent, "glassbox_container_health_status", &[r#"container="unchecked""#]).is_empty());

    becomes_state(&agent, name, "running");
    docker.run(&["pause", &container.id]);
    becomes_state(&agent, name, "paused");
    docker.run(&["unpause", &container.id]);
    becomes_state(&agent, name, "running");
    docker.run(&["stop", "--time=0", &container.id]);
    becomes_state(&agent, name, "exited");
    assert!(series(&agent, "container_health_state", &[name]).is_empty());
}

#[test]
fn a_short_container_has_its_cpu_time_and_exit() {
    let Some(docker) = docker() else { return };
    let agent = agent(&docker, "");
    let work = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
    docker.run(&["run", "--rm", "--name", "brief", IMAGE, "sh", "-c", work]);
    let name = r#"container="brief""#;
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="completed""#], 1.0);
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 0.0);
    becomes_state(&agent, name, "exited");
    let seconds = value(&agent, "glassbox_container_oncpu_seconds_total", &[name]).unwrap();
    assert!((0.005..5.0).contains(&seconds), "{seconds}");
}
