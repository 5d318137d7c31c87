//! Reads series of a container from the agent and waits for values.

use std::time::Duration;

use glassbox_tests::{agent::Agent, docker::eventually};

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
const STATES: [&str; 6] = ["created", "running", "paused", "restarting", "exited", "dead"];

/// The series of a family with these labels: everything between the braces, and the value.
pub(super) fn series(agent: &Agent, family: &str, labels: &[&str]) -> Vec<(String, f64)> {
    let metrics = agent.metrics();
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{')?.rsplit_once("} "));
    let bearing =
        lines.filter(|(set, _)| labels.iter().all(|label| set.split(',').any(|other| other == *label)));
    bearing.map(|(set, value)| (set.to_owned(), value.parse().unwrap())).collect()
}

/// The value of the only such series; `None` if there is none.
pub(super) fn value(agent: &Agent, family: &str, labels: &[&str]) -> Option<f64> {
    let found = series(agent, family, labels);
    assert!(found.len() <= 1, "{family} {labels:?}: {found:?}");
    found.first().map(|(_, value)| *value)
}

pub(super) fn becomes(agent: &Agent, family: &str, labels: &[&str], wanted: f64) {
    let what = format!("{family} {labels:?} is {wanted}");
    eventually(&what, TIMEOUT, || (value(agent, family, labels) == Some(wanted)).then_some(()));
}

pub(super) fn becomes_state(agent: &Agent, container: &str, state: &str) {
    becomes(agent, "glassbox_container_state", &[container, &format!("state=\"{state}\"")], 1.0);
    let all = series(agent, "glassbox_container_state", &[container]);
    assert_eq!(all.iter().filter(|(_, value)| *value == 1.0).count(), 1, "{all:?}");
    for state in STATES {
        assert!(all.iter().any(|(set, _)| set.contains(&format!("state=\"{state}\""))), "{state}: {all:?}");
    }
}
