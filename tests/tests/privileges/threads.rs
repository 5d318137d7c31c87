//! Every thread of the agent is restricted.

use std::{fs, path::Path, time::Duration};

use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    nvml::{self, StandIn},
    process_container::ProcessContainer,
    skip,
};

#[cfg(target_arch = "x86_64")]
use super::injection::attack;

/// BPF, PERFMON, SYS_PTRACE, DAC_READ_SEARCH, NET_ADMIN, and SYS_ADMIN for statistics and quotas.
const KEPT: u64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2 | 1 << 12 | 1 << 21;

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
fn every_thread_of_the_agent_is_restricted() {
    let test = "every_thread_of_the_agent_is_restricted";
    if let Err(reason) = ProcessContainer::new() {
        return skip(test, &reason);
    }
    // NVML runs in the agent's process.
    let stand_in = StandIn::new(&nvml::host());
    let agent = Agent::start(&format!("[nvml]\nlibrary = {:?}\n", stand_in.library()));
    // NVML is loaded by a thread of its own.
    let metrics = eventually("NVML works", Duration::from_secs(10), || {
        Some(agent.metrics()).filter(|metrics| metrics.contains("glassbox_nvml_up 1\n"))
    });
    // Read by a thread in the Landlock domain.
    for family in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(family)?.strip_prefix(' '));
        assert!(line.is_some_and(|value| value.parse::<f64>().unwrap() > 0.0), "{family}: {line:?}");
    }
    for mechanism in ["capabilities", "no_new_privs", "seccomp"] {
        let line = format!("glassbox_agent_sandbox{{mechanism=\"{mechanism}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    let threads = threads(agent.pid());
    for name in ["glassbox-io", "glassbox-tick", "glassbox-files", "glassbox-nvml"] {
        assert!(threads.iter().any(|(_, comm, _)| comm == name), "{name}: {threads:?}");
    }
    for (_, name, status) in &threads {
        let set = |key: &str| u64::from_str_radix(value(status, key), 16).unwrap();
        assert_eq!((value(status, "NoNewPrivs:"), value(status, "Seccomp:")), ("1", "2"), "{name}");
        assert_eq!((set("CapInh:"), set("CapAmb:")), (0, 0), "{name}");
        for key in ["CapEff:", "CapPrm:", "CapBnd:"] {
            assert_eq!(set(key) & !KEPT, 0, "{name}: {key}");
        }
    }
    attack(&agent, &threads);
}

#[cfg(not(target_arch = "x86_64"))]
fn attack(_: &Agent, _: &[(i32, String, String)]) {
    glassbox_tests::inapplicable(
        "every_thread_of_the_agent_is_restricted",
        "injects system calls on x86-64 only",
    );
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
