//! Every alert has a runbook in English and in Chinese, with the same queries, which Prometheus accepts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use glassbox_tests::{prometheus::Programs, repository::in_repository, rules, skip};

use super::names;

/// The directories, and the headings of their runbooks in order.
const LANGUAGES: [(&str, [&str; 4]); 2] = [
    ("docs/runbooks", ["Symptom", "Causes", "Confirm", "Remedies"]),
    ("docs/runbooks/zh", ["现象", "可能原因", "确认", "处理"]),
];
/// A runbook is read in a hurry.
const MOST_LINES: usize = 60;

/// The runbooks in a directory, by name.
fn in_directory(directory: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(in_repository(directory)).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "md", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The queries of a runbook.
pub(super) fn queries(text: &str) -> Vec<String> {
    let blocks = text.split("```promql\n").skip(1);
    blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned()).collect()
}

/// The queries of all runbooks, with the names of the alerts.
pub(super) fn all_queries() -> Vec<(String, String)> {
    let runbooks = LANGUAGES.iter().flat_map(|(directory, _)| in_directory(directory));
    runbooks
        .flat_map(|(name, text)| queries(&text).into_iter().map(move |query| (name.clone(), query)))
        .collect()
}

#[test]
fn every_alert_has_a_runbook_in_each_language_and_no_runbook_is_left_over() {
    let test = "every_alert_has_a_runbook_in_each_language_and_no_runbook_is_left_over";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let rules = rules::all(&programs);
    let alerts = rules.iter().filter(|rule| rule.is_alert);
    let alerts: BTreeMap<_, _> =
        alerts.map(|rule| (rule.name.clone(), rule.labels["severity"].clone())).collect();
    let english = in_directory(LANGUAGES[0].0);
    let mut breaches = Vec::new();
    for (directory, headings) in LANGUAGES {
        let runbooks = in_directory(directory);
        let named: BTreeSet<_> = runbooks.keys().collect();
        assert_eq!(named, alerts.keys().collect::<BTreeSet<_>>(), "{directory}");
        for (name, text) in &runbooks {
            let place = format!("{directory}/{name}.md");
            let found: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            let lines: Vec<_> = text.lines().collect();
            let checks = [
                (lines[0] == format!("# {name}"), "the title is not the name of the alert".to_owned()),
                (lines[2].contains(&alerts[name]), format!("the severity is not {}", alerts[name])),
                (found == headings, format!("the headings are {found:?}, not {headings:?}")),
                (lines.len() <= MOST_LINES, format!("{} lines, more than {MOST_LINES}", lines.len())),
                (!queries(text).is_empty(), "no query".to_owned()),
                (
                    queries(text) == queries(&english[name]),
                    "the queries differ from the English ones".to_owned(),
                ),
            ];
            breaches.extend(
                checks.into_iter().filter(|check| !check.0).map(|check| format!("{place}: {}", check.1)),
            );
            // Links to files beside it.
            for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                if !link.contains("://") && !in_repository(directory).join(link).is_file() {
                    breaches.push(format!("{place}: no file {link}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_query_of_a_runbook_parses_and_uses_existing_metrics() {
    let test = "every_query_of_a_runbook_parses_and_uses_existing_metrics";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let known = names::known(&rules::all(&programs));
    let queries = all_queries();
    let mut breaches = Vec::new();
    for (name, query) in &queries {
        let metrics = names::metrics(query);
        assert!(!metrics.is_empty(), "{name}: no metric in {query}");
        let unknown = metrics.iter().filter(|metric| !known.contains(**metric));
        breaches.extend(unknown.map(|metric| format!("{name}: there is no metric {metric}: {query}")));
    }
    rules::assert_parsed(&programs, queries.iter().map(|(_, query)| query.as_str()));
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
