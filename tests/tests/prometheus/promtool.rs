//! Runs `promtool check metrics` on the agent's metrics.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use glassbox::exposition;
use glassbox_tests::{
    docker::{Container, HOST_NETWORK},
    prometheus::Programs,
};

use super::stack::Stack;

/// Time until every family is exported.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Names that promtool rejects and that must stay, because they are cAdvisor's. Those of dcgm-exporter have a prefix.
const INHERITED: [&str; 6] = [
    "container_memory_failcnt",
    "container_hugetlb_failcnt",
    // Gauges with names that end in `_total`.
    "container_network_tcp_usage_total",
    "container_network_tcp6_usage_total",
    "container_network_udp_usage_total",
    "container_network_udp6_usage_total",
];

#[test]
fn promtool_rejects_only_inherited_names() {
    let test = "promtool_rejects_only_inherited_names";
    // Without quotas, only a walk provides the size of a layer.
    let Some(stack) = Stack::start(test, "[disk]\nwalk = true\nperiod_s = 1\n") else { return };
    let limits = ["--cpus", "0.5", "--memory", "64m"];
    let container = Container::run(&stack.docker, "facefusion-1", &limits, &["sleep", "1000"]);
    let check = ["--health-cmd=true", "--health-interval=1s"];
    let _checked = Container::run(&stack.docker, "checked", &check, &["sleep", "1000"]);
    let _on_host = Container::run(&stack.docker, "on-host", &HOST_NETWORK, &["sleep", "1000"]);
    let _ended = Container::run(&stack.docker, "ended", &[], &["sh", "-c", "exit 3"]);
    // Which inherited families exist depends on the cgroup version. All of our own must exist.
    let missing = |metrics: &str| -> Vec<_> {
        let own = exposition::families().filter(|family| !family.is_inherited()).map(|family| family.name);
        // Families that need a GPU, a model, jobs, listed programs, a server with clients or the demonstration are in the golden
        // file.
        let elsewhere = [
            "DCGM",
            "gpu",
            "nvidia",
            "nvml",
            "demo",
            "_job",
            "_socket_",
            "_http_",
            "_stream",
            "_upload_",
            "container_work_",
            "container_health",
            "facefusion_",
            "_program_",
            "_memory_leak_",
            "_inference_",
            "_model_load_",
        ];
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
    let report = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    println!("{}\n{report}", output.status);
    // 3 means that the text was parsed and has lint errors. 1 would mean that it could not be parsed.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {report}", output.status);
    let is_inherited = |name: &str| INHERITED.contains(&name) || name.starts_with("DCGM_FI_");
    let faults: Vec<_> =
        report.lines().filter(|line| !is_inherited(line.split(' ').next().unwrap())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
