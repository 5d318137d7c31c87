//! Each rule is a test over all dashboards, which reports all violations.

use std::collections::{BTreeMap, BTreeSet};

use glassbox::exposition::{self, Kind, LabelSet, registry::Registry};
use glassbox_tests::dashboards::{Dashboard, list, text};
use serde_json::{Value, json};

use super::promql::{Selector, selectors};

/// Grafana's names of the units that we use. Grafana ignores an unknown unit without an error.
const UNITS: [&str; 13] = [
    "none",
    "short",
    "percentunit",
    "bytes",
    "Bps",
    "iops",
    "pps",
    "cps",
    "reqps",
    "s",
    "celsius",
    "hertz",
    "watt",
];
/// Prometheus' own series of the alerts that fire.
const ALERTS: &str = "ALERTS";
const TEMPLATED: &str = "${datasource}";

/// Panics with all violations.
fn assert_none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

/// The keys of `found` that differ from `wanted`.
fn differences(place: &str, found: &Value, wanted: Value) -> Vec<String> {
    let wanted = wanted.as_object().unwrap().iter();
    let differing = wanted.filter(|(key, value)| found[key.as_str()] != **value);
    differing.map(|(key, value)| format!("{place}: {key} is {}, not {value}", found[key.as_str()])).collect()
}

/// All metrics of the agent, by type.
fn metrics() -> BTreeMap<String, Kind> {
    let mut metrics = BTreeMap::new();
    for family in exposition::families() {
        if family.kind == Kind::Histogram {
            let parts = ["bucket", "sum", "count"];
            metrics.extend(parts.map(|part| (format!("{}_{part}", family.name), Kind::Counter)));
            // As a native histogram.
            metrics.insert(family.name.to_owned(), Kind::Counter);
        } else {
            metrics.insert(family.name.to_owned(), family.kind);
        }
    }
    for family in Registry::new().unwrap().gather_all() {
        let counter = format!("{:?}", family.get_field_type()) == "COUNTER";
        metrics.insert(family.name().to_owned(), if counter { Kind::Counter } else { Kind::Gauge });
    }
    metrics
}

/// Checks every selector of every query with a rule, which returns the violation.
fn check_selectors(rule: impl Fn(&Selector<'_>) -> Option<String>) {
    check_queries(|_, selector, _| rule(selector));
}

/// The same for a rule that also needs the dashboard and the query.
fn check_queries(rule: impl Fn(&Dashboard, &Selector<'_>, &str) -> Option<String>) {
    let mut breaches = Vec::new();
    for dashboard in Dashboard::all() {
        for query in dashboard.queries() {
            match selectors(&query.promql) {
                Ok(found) => {
                    assert!(!found.is_empty(), "{} has no selector", query.place);
                    let breached = found
                        .iter()
                        .filter(|selector| selector.metric != ALERTS)
                        .filter_map(|selector| rule(&dashboard, selector, &query.promql));
                    breaches.extend(breached.map(|breach| format!("{}: {breach}", query.place)));
                }
                Err(error) => breaches.push(format!("{}: {error}", query.place)),
            }
        }
    }
    assert_none(breaches);
}

#[test]
fn a_dashboard_can_be_imported_and_is_not_editable() {
    let mut uids = BTreeSet::new();
    for dashboard in Dashboard::all() {
        let wanted = json!({
            "id": null, "schemaVersion": 39, "editable": false, "graphTooltip": 1, "timezone": "browser",
        });
        assert_none(differences(&dashboard.file, &dashboard.json, wanted));
        let suffix =
            if dashboard.language == "en" { String::new() } else { format!("-{}", dashboard.language) };
        assert_eq!(text(&dashboard.json["uid"]), format!("glassbox-{}{suffix}", dashboard.name()));
        let tags = json!(["glassbox", dashboard.language]);
        assert_eq!(dashboard.json["tags"], tags, "{}", dashboard.file);
        // A link leads to the dashboards with its tags, so a reader stays in one language.
        assert_eq!(dashboard.json["links"][0]["tags"], tags, "{}", dashboard.file);
        assert!(
            uids.insert(text(&dashboard.json["uid"]).to_owned()),
            "{}: its uid is not unique",
            dashboard.file
        );
    }
}

#[test]
fn the_data_source_is_a_variable() {
    for dashboard in Dashboard::all() {
        let first = dashboard.variables().next().unwrap();
        let wanted = json!({
            "type": "datasource", "name": "datasource", "query": "prometheus",
        });
        assert_none(differences(&dashboard.file, first, wanted));
        if dashboard.language == "en" {
            assert_eq!(first["label"], "Data source", "{}", dashboard.file);
        }
        let wanted = json!({ "type": "prometheus", "uid": TEMPLATED });
        let targets = dashboard.panels().flat_map(|panel| list(&panel["targets"]));
        let queried = dashboard.variables().filter(|variable| variable["type"] == "query");
        for asking in queried.chain(dashboard.annotations()).chain(dashboard.panels()).chain(targets) {
            assert_eq!(asking["datasource"], wanted, "{}: {asking:#}", dashboard.file);
        }
    }
}

#[test]
fn job_instance_and_container_are_variables_that_follow_the_time_range() {
    for dashboard in Dashboard::all() {
        let variables: Vec<_> =
            dashboard.variables().filter(|variable| variable["type"] == "query").collect();
        let names: Vec<_> = variables.iter().map(|variable| text(&variable["name"])).collect();
        let wanted: &[&str] = match dashboard.name() {
            "gpu" => &["job", "instance", "gpu", "container"],
            "agent" | "fleet" => &["job", "instance"],
            _ => &["job", "instance", "container"],
        };
        assert_eq!(names, wanted, "{}", dashboard.file);
        for variable in &variables {
            let name = text(&variable["name"]);
            let wanted = json!({
                "type": "query", "refresh": 2, "multi": true, "includeAll": true,
                "definition": variable["query"]["query"],
            });
            assert_none(differences(&format!("{}: {name}", dashboard.file), variable, wanted));
            // Families with one series per agent, container or GPU: others make Grafana slow on many hosts.
            let query = text(&variable["query"]["query"]);
            let family = query.split(['(', '{', ',']).nth(1).unwrap();
            assert!(family.ends_with("_info"), "{}: {query}", dashboard.file);
        }
        // The variable's "All" is the list of jobs. `.*` would also select an unrelated cAdvisor and count everything twice.
        let all: Vec<_> = variables.iter().map(|variable| &variable["allValue"]).collect();
        assert_eq!(all[0], &Value::Null, "{}", dashboard.file);
        assert!(all[1..].iter().all(|all| **all == ".+"), "{}", dashboard.file);
    }
}

#[test]
fn every_panel_has_a_title_a_description_and_a_unit() {
    let mut breaches = Vec::new();
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels() {
            let title = text(&panel["title"]);
            let mut check = |good: bool, breach: &str| {
                if !good {
                    breaches.push(format!("{}: {title}: {breach}", dashboard.file));
                }
            };
            check(!title.is_empty(), "no title");
            let description = text(&panel["description"]);
            check(
                description.ends_with(['.', '\u{3002}']) && description.chars().count() <= 250,
                "no description, or one that is too long",
            );
            let mut units = vec![&panel["fieldConfig"]["defaults"]["unit"]];
            if panel["type"] == "heatmap" {
                units.push(&panel["options"]["yAxis"]["unit"]);
            }
            let overrides = list(&panel["fieldConfig"]["overrides"]).iter();
            let properties = overrides.flat_map(|one| list(&one["properties"]));
            units.extend(
                properties.filter(|property| property["id"] == "unit").map(|property| &property["value"]),
            );
            check(units.iter().all(|unit| UNITS.contains(&text(unit))), &format!("units {units:?}"));
            let targets = list(&panel["targets"]);
            check(!targets.is_empty(), "no query");
            let letters: BTreeSet<_> = targets.iter().map(|target| text(&target["refId"])).collect();
            check(letters.len() == targets.len(), "two queries with one letter");
            let named = targets.iter().all(|target| target["legendFormat"].is_string());
            check(named || panel["type"] == "table", "a series without a legend");
            let absent = text(&panel["fieldConfig"]["defaults"]["noValue"]);
            check(!absent.is_empty() || dashboard.name() == "agent", "no text for missing data");
        }
    }
    assert_none(breaches);
}

#[test]
fn a_text_panel_has_a_title_and_content() {
    for dashboard in Dashboard::all() {
        for panel in list(&dashboard.json["panels"]).iter().filter(|panel| panel["type"] == "text") {
            let (title, content) = (text(&panel["title"]), text(&panel["options"]["content"]));
            assert!(
                !title.is_empty() && content.ends_with(['.', '\u{3002}']),
                "{}: {panel:#}",
                dashboard.file
            );
        }
    }
}

#[test]
fn panels_fill_the_grid_without_overlapping() {
    for dashboard in Dashboard::all() {
        let mut taken = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard.json["panels"]) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is not unique");
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{title} is outside the grid");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert_eq!(taken.insert((x, y), title), None, "{title} overlaps");
                }
            }
        }
        let bottom = taken.keys().map(|(_, y)| y + 1).max().unwrap();
        assert_eq!(taken.len() as u64, bottom * 24, "{}: there are holes in the grid", dashboard.file);
    }
}

#[test]
fn every_metric_exists() {
    let metrics = metrics();
    check_selectors(|selector| {
        (!metrics.contains_key(selector.metric)).then(|| format!("unknown metric {}", selector.metric))
    });
}

#[test]
fn every_selector_uses_all_variables_that_its_metric_has_labels_for() {
    // For each metric, whether it has the labels of containers and of GPUs.
    let by: BTreeMap<_, _> = exposition::families()
        .map(|family| {
            let of_gpu = [LabelSet::Gpu, LabelSet::AnyGpu].contains(&family.label_set);
            let gpu = of_gpu || family.labels.contains(&"gpu");
            let of_agent = [LabelSet::Agent, LabelSet::Static].contains(&family.label_set);
            (family.name, (!of_gpu && !of_agent, gpu))
        })
        .collect();
    check_queries(|dashboard, selector, _| {
        let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| selector.metric.strip_suffix(part));
        let known = by.get(selector.metric).or_else(|| by.get(parts?));
        let (container, gpu) = known.copied().unwrap_or_default();
        let mut wanted = vec![r#"job=~"$job""#, r#"instance=~"$instance""#];
        wanted.extend(
            (container && dashboard.has_variable("container")).then_some(r#"container=~"$container""#),
        );
        wanted.extend((gpu && dashboard.has_variable("gpu")).then_some(r#"gpu=~"$gpu""#));
        let rest = selector.matchers.strip_prefix(&wanted.join(", "));
        let heeded = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "));
        (!heeded).then(|| format!("{} {{{}}}", selector.metric, selector.matchers))
    });
}

#[test]
fn counters_are_queried_with_rate_or_increase_and_gauges_are_not() {
    let metrics = metrics();
    check_queries(|_, Selector { metric, matchers, range, function }, query| {
        let counted = metrics.get(*metric) == Some(&Kind::Counter);
        let grown = ["rate", "increase"].contains(function) && *range == "$__rate_interval";
        // A counter that appears with its first event must also count that event.
        let since_it_began = ["$__rate_interval", "$__range"].iter().any(|range| {
            let series = format!("{metric}{{{matchers}}}");
            let growth = format!("({series} unless {series} offset {range} or increase({series}[{range}]))");
            query.contains(&growth)
        });
        let good = if counted { grown || since_it_began } else { range.is_empty() };
        (!good).then(|| format!("{function}({metric}[{range}])"))
    });
}

/// What remains of a dashboard without its texts: all that must be the same in each language.
fn without_texts(value: &Value) -> Value {
    const TEXTS: [&str; 12] = [
        "title",
        "description",
        "label",
        "legendFormat",
        "content",
        "noValue",
        "titleFormat",
        "text",
        "uid",
        "tags",
        "name",
        "renameByName",
    ];
    match value {
        Value::Array(items) => items.iter().map(without_texts).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !TEXTS.contains(&key.as_str()) && *key != "matcher");
            Value::Object(kept.map(|(key, member)| (key.clone(), without_texts(member))).collect())
        }
        other => other.clone(),
    }
}

/// The labels in braces, in the order of their names.
fn labels(legend: &str) -> Vec<&str> {
    let mut labels: Vec<_> =
        legend.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0)).collect();
    labels.sort_unstable();
    labels
}

#[test]
fn the_languages_differ_only_in_texts() {
    let english = Dashboard::in_language("en");
    for (english, chinese) in english.iter().zip(Dashboard::in_language("zh")) {
        assert_eq!(english.name(), chinese.name());
        assert_eq!(without_texts(&english.json), without_texts(&chinese.json), "{}", chinese.file);
        for (one, other) in english.panels().zip(chinese.panels()) {
            assert_eq!(one["id"], other["id"]);
            for (one, other) in list(&one["targets"]).iter().zip(list(&other["targets"])) {
                let (one, other) = (text(&one["legendFormat"]), text(&other["legendFormat"]));
                assert_eq!(labels(one), labels(other), "{}: {one} and {other}", chinese.file);
            }
        }
    }
}

#[test]
fn every_description_is_in_the_language_of_its_dashboard() {
    let is_han = |character: char| ('\u{4e00}'..='\u{9fff}').contains(&character);
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels() {
            let description = text(&panel["description"]);
            assert_eq!(
                description.contains(is_han),
                dashboard.language == "zh",
                "{}: {description}",
                dashboard.file
            );
        }
    }
}

#[test]
fn a_dashed_line_is_one_of_the_legends() {
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels() {
            for matcher in list(&panel["fieldConfig"]["overrides"]).iter().map(|one| &one["matcher"]) {
                let wanted = text(&matcher["options"]);
                let pattern = wanted.trim_matches('/');
                let matches = |legend: &str| match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
                    (Some(start), _) => legend.starts_with(start),
                    (_, Some(end)) => legend.ends_with(end),
                    _ => legend == wanted,
                };
                let columns = panel["transformations"][1]["options"]["renameByName"].as_object();
                let mut columns = columns.into_iter().flatten().map(|(_, title)| text(title));
                let mut legends = list(&panel["targets"]).iter().map(|target| text(&target["legendFormat"]));
                assert!(legends.any(matches) || columns.any(matches), "{}: {wanted}", dashboard.file);
            }
        }
    }
}
