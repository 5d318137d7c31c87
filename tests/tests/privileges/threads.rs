//! The restrictions can be turned off.

use std::{fs, path::Path};

use glassbox_tests::{agent::Agent, process_container::ProcessContainer, skip};

/// The threads of a process: their IDs, names, and statuses.
fn threads(pid: u32) -> Vec<(i32, String, String)> {
    let read = |task: &Path| {
        let file = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        let id = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
        (id, file("comm").trim().to_owned(), file("status"))
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| read(&task.unwrap().path())).filter(|(.., status)| !status.is_empty()).collect()
}

fn value<'a>(status: &'a str, key: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap_or_else(|| panic!("{key} in {status}"))
        .trim()
}

#[test]
fn restrictions_can_be_turned_off_and_are_then_reported_as_off() {
    let test = "restrictions_can_be_turned_off_and_are_then_reported_as_off";
    if let Err(reason) = ProcessContainer::new() {
        return skip(test, &reason);
    }
    let agent = Agent::start(
        "[sandbox]\ncapabilities = false\nseccomp = false\nlandlock = false\n[kernel]\nenabled = false\n",
    );
    let metrics = agent.metrics();
    for (mechanism, value) in [("capabilities", 0), ("no_new_privs", 1), ("seccomp", 0), ("landlock", 0)] {
        let line = format!("glassbox_agent_sandbox{{mechanism=\"{mechanism}\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    let own = fs::read_to_string("/proc/self/status").unwrap();
    for (_, name, status) in threads(agent.pid()) {
        assert_eq!(value(&status, "CapEff:"), value(&own, "CapEff:"), "{name}");
        assert_eq!(value(&status, "Seccomp:"), value(&own, "Seccomp:"), "{name}");
    }
}
