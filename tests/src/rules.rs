//! The rules for Prometheus in `dashboards/`, as Prometheus itself reads them.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    prometheus::{Programs, Prometheus},
    repository::in_repository,
    service::free_address,
};

/// The files with rules.
pub const FILES: [&str; 2] = ["alerts.yml", "recording.yml"];

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name of the alert, or of the series that it records.
    pub name: String,
    /// Whether it is an alert.
    pub is_alert: bool,
    /// Its query.
    pub query: String,
    /// How long the condition must hold, in seconds.
    pub for_s: f64,
    /// The labels that it adds.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// All rules, in the order of the files.
///
/// # Panics
/// If Prometheus does not start with the files or returns something else.
#[must_use]
pub fn all(programs: &Programs) -> Vec<Rule> {
    let files = FILES.map(|file| in_repository("dashboards").join(file));
    // Nothing listens at the target: only the rules are read.
    let prometheus =
        Prometheus::start_with(programs, free_address(), &format!("rule_files: {files:?}\n"), "");
    let rules = prometheus.rules().and_then(|data| of(&data));
    rules.unwrap_or_else(|error| panic!("read the rules: {error:#}"))
}

/// Asserts that promtool parses these queries, as those of rules.
///
/// # Panics
/// If it rejects one.
pub fn assert_parsed<'a>(programs: &Programs, queries: impl ExactSizeIterator<Item = &'a str>) {
    let count = queries.len();
    let rules = queries.map(|query| {
        format!("    - record: query\n      expr: |\n        {}\n", query.replace('\n', "\n        "))
    });
    let text = format!("groups:\n- name: queries\n  rules:\n{}", rules.collect::<String>());
    let file = tempfile::NamedTempFile::new().and_then(|file| fs::write(file.path(), text).map(|()| file));
    let file = file.unwrap_or_else(|error| panic!("write the queries: {error}"));
    let report = programs.report(&["check", "rules", "--lint=none"], &[file.path().to_owned()]);
    assert!(report.contains(&format!("{count} rules")), "{report}");
}

/// The rules in an answer of Prometheus.
///
/// # Errors
/// If the answer has another form.
pub fn of(data: &Value) -> anyhow::Result<Vec<Rule>> {
    let groups = data["groups"].as_array().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    rules.map(|rule| one(rule).with_context(|| format!("not a rule: {rule}"))).collect()
}

fn one(rule: &Value) -> Option<Rule> {
    let texts = |of: &Value| -> BTreeMap<String, String> {
        let texts = of.as_object().into_iter().flatten();
        texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    };
    Some(Rule {
        name: rule["name"].as_str()?.to_owned(),
        is_alert: rule["type"] == "alerting",
        query: rule["query"].as_str()?.to_owned(),
        for_s: rule["duration"].as_f64().unwrap_or_default(),
        labels: texts(&rule["labels"]),
        annotations: texts(&rule["annotations"]),
    })
}
