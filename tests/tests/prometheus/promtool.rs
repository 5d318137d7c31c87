//! `promtool check metrics` on what the agent shows.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use glassbox::exposition;
use glassbox_tests::docker::{Container, eventually};

use super::stack::Stack;

/// What promtool has to say against names that are cAdvisor's and must stay.
const INHERITED: [&str; 1] = ["container_memory_failcnt"];

#[test]
fn promtool_finds_fault_only_with_names_that_are_inherited() {
    let test = "promtool_finds_fault_only_with_names_that_are_inherited";
    let Some(stack) = Stack::start(test, "") else { return };
    let limits = ["--cpus", "0.5", "--memory", "64m"];
    let container = Container::run(&stack.docker, "facefusion-1", &limits, &["sleep", "1000"]);
    // Which of the inherited families there are depends on the version of cgroups; ours must all be there.
    let missing = |metrics: &str| -> Vec<_> {
        let own = exposition::families().filter(|family| !family.is_inherited()).map(|family| family.name);
        own.filter(|family| !metrics.contains(&format!("\n# TYPE {family} "))).collect()
    };
    let mut metrics = String::new();
    eventually("a scrape with the container and all families of our own", Duration::from_secs(10), || {
        metrics = stack.agent.metrics();
        (metrics.contains(&container.id) && missing(&metrics).is_empty()).then_some(())
    });

    let mut promtool = Command::new(&stack.programs.promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    println!("{}\n{told}", output.status);
    // 3: read to the end, with faults found. 1 would be that it could not read them.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {told}", output.status);
    let faults: Vec<_> =
        told.lines().filter(|line| !INHERITED.contains(&line.split(' ').next().unwrap())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
