//! Containers of containerd without Kubernetes.

use glassbox_tests::{containerd::Containerd, docker::eventually};

use super::{
    agent, or_skip,
    series::{TIMEOUT, becomes, becomes_state, series, value},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_containerd_container_has_state_last_exit_and_restarts() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let agent = agent(&format!("[containerd]\nsockets = [{:?}]", containerd.socket()));
    let label = ["--label", "nerdctl/name=web"];
    let script = ["/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"];
    let Some(()) = or_skip(containerd.run("default", A, &label, &script)) else { return };
    let name = r#"container="web""#;
    becomes_state(&agent, name, "running");
    assert_eq!(value(&agent, "glassbox_container_restarts_total", &[name]), Some(0.0));
    let created = value(&agent, "container_creation_time_seconds", &[name]).unwrap();
    let started = value(&agent, "container_start_time_seconds", &[name]).unwrap();
    assert!((0.0..30.0).contains(&(started - created)), "{created} {started}");
    let ctr = |arguments: &[&str]| containerd.ctr("default", arguments).unwrap();
    ctr(&["tasks", "exec", "--exec-id", "other", A, "/bin/true"]);
    ctr(&["tasks", "pause", A]);
    becomes_state(&agent, name, "paused");
    ctr(&["tasks", "resume", A]);
    becomes_state(&agent, name, "running");
    let later = super::agent(&format!("[containerd]\nsockets = [{:?}]", containerd.socket()));
    becomes_state(&later, name, "running");
    assert!(series(&agent, "glassbox_container_last_exit_code", &[name]).is_empty(), "another process ended");

    ctr(&["tasks", "kill", "--signal", "SIGTERM", A]);
    for agent in [&agent, &later] {
        becomes_state(agent, name, "exited");
        becomes(agent, "glassbox_container_last_exit_code", &[name], 3.0);
        becomes(agent, "glassbox_container_last_exit_reason", &[name, r#"reason="error""#], 1.0);
    }
    ctr(&["tasks", "delete", A]);
    ctr(&["tasks", "start", "--detach", "--null-io", A]);
    for agent in [&agent, &later] {
        becomes_state(agent, name, "running");
        becomes(agent, "glassbox_container_restarts_total", &[name], 1.0);
        assert_eq!(
            value(agent, "glassbox_container_last_exit_code", &[name]),
            Some(3.0),
            "the exit code of the first run"
        );
    }
}

#[test]
fn a_container_without_an_id_in_its_path_is_known_while_it_runs() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let agent = agent(&format!("[containerd]\nsockets = [{:?}]", containerd.socket()));
    let script = ["/bin/sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"];
    let run = |namespace| containerd.run(namespace, "web", &[], &script);
    let Some(()) = or_skip(run("default")) else { return };
    let name = r#"container="web""#;
    becomes_state(&agent, name, "running");
    let info = series(&agent, "glassbox_container_info", &[name]);
    let (labels, _) = &info[0];
    assert!(labels.contains("/default/web\"") && labels.contains(r#"runtime="containerd""#), "{info:?}");
    eventually("it uses the CPU", TIMEOUT, || {
        let used = value(&agent, "container_cpu_usage_seconds_total", &[name, r#"cpu="total""#]);
        let used = used.or_else(|| value(&agent, "container_cpu_usage_seconds_total", &[name]));
        used.is_some_and(|seconds| seconds > 0.01).then_some(())
    });
    eventually("the kernel programs count for it, if they are attached", TIMEOUT, || {
        let up = value(&agent, "glassbox_collector_up", &[r#"collector="scheduler""#]) == Some(1.0);
        let counted = value(&agent, "glassbox_container_oncpu_seconds_total", &[name]);
        (!up || counted.is_some_and(|seconds| seconds > 0.0)).then_some(())
    });

    // A container with the same ID in another namespace. The running one keeps its name.
    run("team").unwrap();
    let team = "container=\"web-team/web\"";
    for name in [name, team] {
        becomes_state(&agent, name, "running");
    }
    containerd.ctr("team", &["tasks", "kill", "--signal", "SIGTERM", "web"]).unwrap();
    becomes_state(&agent, team, "exited");
    becomes(&agent, "glassbox_container_last_exit_code", &[team], 5.0);
    // The cgroup exists until the task is deleted, and the task may be started again.
    containerd.ctr("team", &["tasks", "delete", "web"]).unwrap();
    becomes(&agent, "glassbox_container_running", &[team], 0.0);
    becomes(&agent, "glassbox_container_running", &[name], 1.0);

    // An agent that starts after the container.
    let later = super::agent(&format!("[containerd]\nsockets = [{:?}]", containerd.socket()));
    becomes_state(&later, name, "running");
    containerd.ctr("default", &["tasks", "delete", "--force", "web"]).unwrap();
    containerd.ctr("default", &["containers", "delete", "web"]).unwrap();
    for agent in [&agent, &later] {
        becomes(agent, "glassbox_container_running", &[name], 0.0);
        becomes(agent, "glassbox_container_last_exit_code", &[name], 137.0);
    }
}

#[test]
fn an_oom_kill_is_the_exit_reason_of_a_containerd_container() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let agent = agent(&format!("[containerd]\nsockets = [{:?}]", containerd.socket()));
    let limit = ["--memory-limit", "33554432"];
    let command = ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
    // One with an ID in its path, and one that containerd must report, which may have exited when it is first read.
    let labelled = [&limit[..], &["--label", "nerdctl/name=killed"]].concat();
    let Some(()) = or_skip(containerd.run("default", A, &labelled, &command)) else { return };
    containerd.run("default", "starved", &limit, &command).unwrap();
    for name in [r#"container="killed""#, r#"container="starved""#] {
        becomes_state(&agent, name, "exited");
        becomes(&agent, "glassbox_container_last_exit_code", &[name], 137.0);
        becomes(&agent, "glassbox_container_last_exit_reason", &[name, r#"reason="oom_killed""#], 1.0);
        becomes(&agent, "container_oom_events_total", &[name], 1.0);
    }
}
