//! The pages for operators: Prometheus accepts their scrape configurations and queries.

use std::fs;

use glassbox_tests::{prometheus::Programs, repository::in_repository, rules, skip};

use super::{names, runbooks::queries};

const PAGES: [&str; 8] = [
    "README.md",
    "README.zh-CN.md",
    "docs/install.md",
    "docs/labels.md",
    "docs/migration.md",
    "docs/security.md",
    "docs/troubleshooting.md",
    "docs/upgrade.md",
];

/// The blocks of YAML that contain scrape configurations, without the indentation of a list.
fn scrape_configs(text: &str) -> Vec<String> {
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks
        .filter(|block| block.contains("\nscrape_configs:") || block.starts_with("scrape_configs:"))
        .map(Into::into)
        .collect()
}

#[test]
fn every_scrape_configuration_is_accepted() {
    let test = "every_scrape_configuration_is_accepted";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let directory = tempfile::tempdir().unwrap();
    for name in ["glassbox.password", "glassbox.crt"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let mut files = Vec::new();
    for page in PAGES {
        for text in scrape_configs(&fs::read_to_string(in_repository(page)).unwrap()) {
            let place = directory.path().join(format!("{}.yml", files.len()));
            // Only the syntax: files of the reader's host, such as rules and passwords, do not exist here.
            let text = text
                .replace("/etc/prometheus/glassbox.", &format!("{}/glassbox.", directory.path().display()))
                .replace("/etc/prometheus/glassbox/", &format!("{}/", in_repository("dashboards").display()));
            fs::write(&place, text).unwrap();
            files.push(place);
        }
    }
    assert!(files.len() >= 7, "only {} scrape configurations", files.len());
    let report = programs.report(&["check", "config", "--syntax-only"], &files);
    assert_eq!(report.matches("SUCCESS").count(), files.len(), "{report}");
}

#[test]
fn every_query_parses_and_uses_existing_metrics() {
    let test = "every_query_parses_and_uses_existing_metrics";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let known = names::known(&rules::all(&programs));
    let pages = PAGES.iter().map(|page| fs::read_to_string(in_repository(page)).unwrap());
    let queries: Vec<_> = pages.flat_map(|text| queries(&text)).collect();
    assert!(queries.len() >= 8, "only {} queries", queries.len());
    for query in &queries {
        let unknown: Vec<_> =
            names::metrics(query).into_iter().filter(|metric| !known.contains(*metric)).collect();
        assert!(unknown.is_empty(), "there is no {unknown:?}: {query}");
    }
    rules::assert_parsed(&programs, queries.iter().map(String::as_str));
}
