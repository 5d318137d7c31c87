//! Containers of Podman, through its Docker-compatible socket.

use glassbox_tests::podman::Podman;

use super::{
    agent, or_skip,
    series::{becomes, becomes_state, series, value},
};

#[test]
fn a_failing_podman_container_has_its_exit_code_and_restarts() {
    let Some(podman) = or_skip(Podman::start()) else { return };
    let agent = agent(&format!("[podman]\nsockets = [{:?}]", podman.socket()));
    let script = ["sh", "-c", "sleep 1; exit 3"];
    let Some(_) = or_skip(podman.run("failing", &["--restart=on-failure:2"], &script)) else { return };
    let name = r#"container="failing""#;
    becomes(&agent, "glassbox_container_restarts_total", &[name], 0.0);
    becomes(&agent, "glassbox_container_restarts_total", &[name], 2.0);
    becomes_state(&agent, name, "exited");
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 3.0);
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="error""#], 1.0);
    let info = series(&agent, "glassbox_container_info", &[name]);
    assert!(info[0].0.contains(r#"runtime="podman""#), "{info:?}");

    // A container that started before the agent.
    let Some(_) = or_skip(podman.run("steady", &[], &["sleep", "600"])) else { return };
    let later = super::agent(&format!("[podman]\nsockets = [{:?}]", podman.socket()));
    let name = r#"container="steady""#;
    for agent in [&agent, &later] {
        becomes_state(agent, name, "running");
        becomes(agent, "container_health_state", &[name], -1.0);
    }
    podman.podman(&["pause", "steady"]).unwrap();
    for agent in [&agent, &later] {
        becomes_state(agent, name, "paused");
    }
    podman.podman(&["unpause", "steady"]).unwrap();
    for agent in [&agent, &later] {
        becomes_state(agent, name, "running");
    }
    podman.podman(&["kill", "steady"]).unwrap();
    for agent in [&agent, &later] {
        becomes_state(agent, name, "exited");
        becomes(agent, "glassbox_container_last_exit_code", &[name], 137.0);
        becomes(agent, "glassbox_container_last_exit_reason", &[name, r#"reason="SIGKILL""#], 1.0);
    }
}

#[test]
fn the_health_of_a_podman_container_is_that_of_its_checks() {
    let Some(podman) = or_skip(Podman::start()) else { return };
    let agent = agent(&format!("[podman]\nsockets = [{:?}]", podman.socket()));
    // Without systemd, only the test runs the health checks.
    let check = ["--health-cmd=test -e /well", "--health-interval=disable", "--health-retries=1"];
    let Some(_) = or_skip(podman.run("checked", &check, &["sleep", "600"])) else { return };
    let name = r#"container="checked""#;
    becomes_state(&agent, name, "running");
    assert!(podman.podman(&["healthcheck", "run", "checked"]).is_err(), "it is unhealthy");
    becomes(&agent, "glassbox_container_health_status", &[name, r#"status="unhealthy""#], 1.0);
    podman.podman(&["exec", "checked", "sh", "-c", ": > /well"]).unwrap();
    podman.podman(&["healthcheck", "run", "checked"]).unwrap();
    becomes(&agent, "glassbox_container_health_status", &[name, r#"status="healthy""#], 1.0);
    assert_eq!(value(&agent, "container_health_state", &[name]), Some(1.0));
}
