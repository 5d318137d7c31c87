//! Containers of Kubernetes, through containerd's plugin. Debian's version (1.6) has no events, so the agent queries
//! the exit of a container when its cgroup is gone.

use glassbox_tests::{containerd::Containerd, docker::eventually, pod::Pod};

use super::{
    agent, or_skip,
    series::{TIMEOUT, becomes, becomes_state, series, value},
};

#[test]
fn a_kubernetes_container_has_its_last_exit_and_continues_in_its_replacement() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let agent = agent(&format!("[cri]\nsockets = [{:?}]", containerd.socket()));
    let Some(pod) = or_skip(Pod::run(&containerd)) else { return };
    // It runs longer than the listings that its discovery triggers, the last of them after about 11 s.
    let script = ["/bin/sh", "-c", "sleep 14; exit 3"];
    let Some(first) = or_skip(pod.start(0, 0, &script)) else { return };
    let name = r#"container="app""#;
    becomes_state(&agent, name, "running");
    let created = value(&agent, "container_creation_time_seconds", &[name]).unwrap();
    let started = value(&agent, "container_start_time_seconds", &[name]).unwrap();
    assert!((0.0..30.0).contains(&(started - created)), "{created} {started}");
    let sets = || {
        let found = series(&agent, "glassbox_container_restarts_total", &[name]);
        found.into_iter().map(|(set, _)| set).collect::<Vec<_>>()
    };
    let before = sets();
    assert_eq!(before.len(), 1);
    assert_eq!(value(&agent, "glassbox_container_restarts_total", &[name]), Some(0.0));
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 3.0);
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="error""#], 1.0);
    becomes_state(&agent, name, "exited");

    // As the kubelet does after a failure: a new container, and the old one is removed.
    let second = pod.start(1, 0, &["/bin/sh", "-c", "sleep 600"]).unwrap();
    pod.remove(&first).unwrap();
    becomes(&agent, "glassbox_container_restarts_total", &[name], 1.0);
    becomes_state(&agent, name, "running");
    assert_eq!(sets(), before, "no label has changed");
    assert_eq!(
        value(&agent, "glassbox_container_last_exit_code", &[name]),
        Some(3.0),
        "the exit code of the first container"
    );
    let running = series(&agent, "container_last_seen", &[name]);
    assert!(running.iter().any(|(set, _)| set.contains(&second)), "{running:?}");

    // An agent that starts now reports the same, except exits before its start.
    let later = super::agent(&format!("[cri]\nsockets = [{:?}]", containerd.socket()));
    becomes(&later, "glassbox_container_restarts_total", &[name], 1.0);
    becomes_state(&later, name, "running");
    assert_eq!(value(&later, "glassbox_container_last_exit_code", &[name]), None);
}

#[test]
fn an_oom_kill_is_the_exit_reason_of_a_kubernetes_container() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let agent = agent(&format!("[cri]\nsockets = [{:?}]", containerd.socket()));
    let Some(pod) = or_skip(Pod::run(&containerd)) else { return };
    let command = ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
    let Some(id) = or_skip(pod.start(0, 32 << 20, &command)) else { return };
    let name = r#"container="app""#;
    becomes(&agent, "glassbox_container_last_exit_code", &[name], 137.0);
    becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="oom_killed""#], 1.0);
    becomes_state(&agent, name, "exited");
    let seen = series(&agent, "container_last_seen", &[name]);
    assert!(seen[0].0.contains(&id), "{seen:?}");
    eventually("its kills are counted", TIMEOUT, || {
        (value(&agent, "container_oom_events_total", &[name]) == Some(1.0)).then_some(())
    });
}
