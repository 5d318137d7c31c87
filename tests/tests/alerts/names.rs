//! Finds the metrics of a query without a parser of PromQL.

use std::collections::BTreeSet;

use glassbox::exposition::{self, Kind, registry::Registry};
use glassbox_tests::rules::Rule;

/// Beginnings of the agent's metrics and of recorded series. Every other metric must be followed by a selector or a range.
const PREFIXES: [&str; 8] =
    ["glassbox_", "container_", "machine_", "DCGM_", "process_", "replica:", "container:", "instance:"];
/// Labels with the beginning of a metric.
const LABELS: &str = "container_label_";
/// Metrics of Prometheus itself.
const PROMETHEUS: [&str; 3] = ["up", "ALERTS", "scrape_duration_seconds"];

/// All metrics of the agent, with the series of histograms, and those that the rules record.
pub(super) fn known(rules: &[Rule]) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = PROMETHEUS.map(str::to_owned).into();
    for family in exposition::families() {
        known.insert(family.name.to_owned());
        if family.kind == Kind::Histogram {
            known.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", family.name)));
        }
    }
    known.extend(Registry::new().unwrap().gather_all().iter().map(|family| family.name().to_owned()));
    known.extend(rules.iter().filter(|rule| !rule.is_alert).map(|rule| rule.name.clone()));
    known
}

/// The metrics in a query.
pub(super) fn metrics(query: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Every second part is within quotes.
    for part in query.split('"').step_by(2) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let mut rest = part;
        while let Some(start) = rest.find(is_name) {
            let name = &rest[start..];
            let (name, after) = name.split_at(name.find(|c| !is_name(c)).unwrap_or(name.len()));
            let is_ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with(LABELS);
            let starts_as_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
            if is_ours || (starts_as_name && after.starts_with(['{', '['])) {
                found.push(name);
            }
            rest = after;
        }
    }
    found
}

#[test]
fn metrics_are_found_and_labels_are_not() {
    let query = r#"sum by (container, container_label_x) (rate(glassbox_a_total{x="container_b"}[5m])) and foo[1m] or up{}"#;
    assert_eq!(metrics(query), ["glassbox_a_total", "foo", "up"]);
    assert_eq!(
        metrics("container:cpu:rate5m / on (instance) machine_cpu_cores"),
        ["container:cpu:rate5m", "machine_cpu_cores"]
    );
}
