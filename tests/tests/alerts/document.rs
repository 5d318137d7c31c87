//! docs/alerts.md lists every alert as it is in the rules.

use std::fs;

use glassbox_tests::{
    prometheus::Programs,
    repository::in_repository,
    rules::{self, Rule},
    skip,
};

/// How long the condition must hold, as Prometheus writes durations.
fn duration(rule: &Rule) -> String {
    match rule.for_s as u64 {
        0 => "at once".to_owned(),
        seconds if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[test]
fn the_table_of_alerts_is_that_of_the_rules() {
    let test = "the_table_of_alerts_is_that_of_the_rules";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let page = fs::read_to_string(in_repository("docs/alerts.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.contains("](runbooks/zh/"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let rules = rules::all(&programs);
    let alerts = rules.iter().filter(|rule| rule.is_alert);
    assert_eq!(rows.len(), alerts.clone().count(), "rows of docs/alerts.md, and alerts");
    for alert in alerts {
        let name = &alert.name;
        let links = format!("[{name}](runbooks/{name}.md) ([中文](runbooks/zh/{name}.md))");
        let row = rows.iter().find(|row| row[0] == links);
        let row = row.unwrap_or_else(|| panic!("docs/alerts.md has no row with {links}"));
        assert_eq!(row[1], alert.labels["severity"], "{name}: docs/alerts.md");
        assert!(!row[2].is_empty(), "{name}: no condition in docs/alerts.md");
        assert_eq!(row[3], duration(alert), "{name}: docs/alerts.md");
    }
}
