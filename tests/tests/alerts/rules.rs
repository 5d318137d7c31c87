//! promtool's unit tests of the rules, and what every rule must have.

use std::{collections::BTreeMap, fs};

use glassbox_tests::{
    prometheus::Programs,
    repository::in_repository,
    rules::{self, FILES},
    skip,
};

use super::names;

const TESTS: &str = "tests/fixtures/alerts";
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// The files of promtool's unit tests, with their text.
fn unit_tests() -> BTreeMap<String, String> {
    let files = fs::read_dir(in_repository(TESTS)).unwrap().map(|file| file.unwrap().path());
    files
        .map(|file| {
            (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(file).unwrap())
        })
        .collect()
}

#[test]
fn the_rules_fire_and_record_exactly_what_they_should() {
    let test = "the_rules_fire_and_record_exactly_what_they_should";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    // The unit tests refer to the rules by paths relative to their own.
    let directory = tempfile::tempdir().unwrap();
    for file in FILES {
        fs::copy(in_repository("dashboards").join(file), directory.path().join(file)).unwrap();
    }
    let files: Vec<_> = unit_tests()
        .into_iter()
        .map(|(name, text)| {
            let path = directory.path().join(format!("test_{name}"));
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let report = programs.report(&["test", "rules"], &files);
    assert_eq!(report.matches("SUCCESS").count(), files.len(), "{report}");
}

#[test]
fn every_rule_has_a_unit_test_in_which_it_fires_and_clears() {
    let test = "every_rule_has_a_unit_test_in_which_it_fires_and_clears";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    // Whether the alert is expected to fire, test by test.
    let mut expected: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    let tests = unit_tests();
    for text in tests.values() {
        let mut name = None;
        for line in text.lines().map(str::trim) {
            if let Some(alert) = line.strip_prefix("alertname: ") {
                name = Some(alert);
            } else if let (Some(alert), true) = (name, line.starts_with("exp_alerts:")) {
                expected.entry(alert.to_owned()).or_default().push(line == "exp_alerts:");
            }
        }
    }
    let mut breaches = Vec::new();
    for rule in rules::all(&programs) {
        if rule.is_alert {
            let seen = expected.get(&rule.name).cloned().unwrap_or_default();
            let fires = seen.iter().position(|fires| *fires);
            if !fires.is_some_and(|fires| seen[fires..].contains(&false)) {
                breaches.push(format!("{} does not fire and then clear in {TESTS}: {seen:?}", rule.name));
            }
        } else {
            let wanted = ["expr: ", "expr: round("].map(|before| format!("{before}{}", rule.name));
            if !tests.values().any(|text| wanted.iter().any(|wanted| text.contains(wanted))) {
                breaches.push(format!("no value of {} is expected in {TESTS}", rule.name));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_rule_uses_existing_metrics_and_every_alert_is_annotated() {
    let test = "every_rule_uses_existing_metrics_and_every_alert_is_annotated";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let rules = rules::all(&programs);
    let known = names::known(&rules);
    let mut breaches = Vec::new();
    for rule in &rules {
        let name = &rule.name;
        let metrics = names::metrics(&rule.query);
        assert!(!metrics.is_empty(), "{name}: no metric in {}", rule.query);
        let unknown = metrics.iter().filter(|metric| !known.contains(**metric));
        breaches.extend(unknown.map(|metric| format!("{name}: the agent has no {metric}")));
        if !rule.is_alert {
            continue;
        }
        if !rule.labels.get("severity").is_some_and(|severity| SEVERITIES.contains(&severity.as_str())) {
            breaches.push(format!("{name}: severity is not one of {SEVERITIES:?}"));
        }
        let missing =
            ["summary", "description"].into_iter().filter(|key| !rule.annotations.contains_key(*key));
        breaches.extend(missing.map(|key| format!("{name}: no {key}")));
        let runbook = format!("docs/runbooks/{name}.md");
        if rule.annotations.get("runbook_url") != Some(&runbook) {
            breaches.push(format!("{name}: runbook_url is not {runbook}"));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
