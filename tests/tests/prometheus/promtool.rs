//! `promtool check metrics` on what the agent shows.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use glassbox::exposition;
use glassbox_tests::{
    docker::{Container, HOST_NETWORK},
    prometheus::Programs,
    skip,
};

use super::stack::Stack;

/// How long until every family shows.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What promtool has to say against names that are cAdvisor's and must stay; dcgm-exporter's are known by their prefix.
const INHERITED: [&str; 6] = [
    "container_memory_failcnt",
    "container_hugetlb_failcnt",
    // Gauges that are called totals.
    "container_network_tcp_usage_total",
    "container_network_tcp6_usage_total",
    "container_network_udp_usage_total",
    "container_network_udp6_usage_total",
];

#[test]
fn promtool_finds_fault_only_with_names_that_are_inherited() {
    let test = "promtool_finds_fault_only_with_names_that_are_inherited";
    // Without quotas, only a walk tells the size of a layer.
    let Some(stack) = Stack::start(test, "[disk]\nwalk = true\nperiod_s = 1\n") else { return };
    let limits = ["--cpus", "0.5", "--memory", "64m"];
    let container = Container::run(&stack.docker, "facefusion-1", &limits, &["sleep", "1000"]);
    let check = ["--health-cmd=true", "--health-interval=1s"];
    let _checked = Container::run(&stack.docker, "checked", &check, &["sleep", "1000"]);
    let _on_host = Container::run(&stack.docker, "on-host", &HOST_NETWORK, &["sleep", "1000"]);
    let _ended = Container::run(&stack.docker, "ended", &[], &["sh", "-c", "exit 3"]);
    // Which of the inherited families there are depends on the version of cgroups; ours must all be there.
    let missing = |metrics: &str| -> Vec<_> {
        let own = exposition::families().filter(|family| !family.is_inherited()).map(|family| family.name);
        // What there is only on a host with a GPU, or in a demonstration, is in the golden file.
        let elsewhere = ["DCGM", "gpu", "nvidia", "nvml", "demo"];
        let own = own.filter(|family| !elsewhere.iter().any(|word| family.contains(word)));
        own.filter(|family| !metrics.contains(&format!("\n# TYPE {family} "))).collect()
    };
    let begun = Instant::now();
    let metrics = loop {
        let metrics = stack.agent.metrics();
        let missing = missing(&metrics);
        if metrics.contains(&container.id) && missing.is_empty() {
            break metrics;
        }
        assert!(begun.elapsed() < TIMEOUT, "not in a scrape within {TIMEOUT:?}: {missing:?}");
        std::thread::sleep(Duration::from_millis(100));
    };

    check_metrics(&stack.programs, metrics.as_bytes());
    check_metrics(&stack.programs, include_bytes!("../../golden/metrics.txt"));
}

fn check_metrics(programs: &Programs, metrics: &[u8]) {
    let mut promtool = Command::new(&programs.promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    println!("{}\n{told}", output.status);
    // 3: read to the end, with faults found. 1 would be that it could not read them.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {told}", output.status);
    let is_inherited = |name: &str| INHERITED.contains(&name) || name.starts_with("DCGM_FI_");
    let faults: Vec<_> = told.lines().filter(|line| !is_inherited(line.split(' ').next().unwrap())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    let test = "the_alerts_fire_when_they_should_and_only_then";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    // The test of the rules names them by a path beside itself.
    let directory = tempfile::tempdir().unwrap();
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["dashboards/alerts.yml", "tests/fixtures/alerts_test.yml"] {
        let from = repository.join(file);
        std::fs::copy(&from, directory.path().join(from.file_name().unwrap())).unwrap();
    }
    let tested = Command::new(&programs.promtool)
        .args(["test", "rules", "alerts_test.yml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&tested.stderr) + String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{told}");
}
