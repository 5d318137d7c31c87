//! The examples of autoscaling: valid objects, queries that Prometheus parses, and metrics that the agent has.

use std::fs;

use glassbox_tests::{
    deployment::{Tools, file, only},
    prometheus::Programs,
    repository::in_repository,
    rules, skip,
};
use serde_json::Value;

const FAMILIES_OF_RULES: &str = "facefusion:overloaded";

/// Fails unless Prometheus parses the query and the agent has its metrics.
fn check(programs: &Programs, query: &str) {
    rules::assert_parsed(programs, [query].into_iter());
    let documented = fs::read_to_string(in_repository("docs/metrics.md")).unwrap();
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    let families: Vec<_> =
        words.filter(|word| word.starts_with("glassbox_") || word.starts_with("container_")).collect();
    assert!(!families.is_empty() || query.contains(FAMILIES_OF_RULES), "{query}: no metric");
    for family in families {
        let base = ["_sum", "_count"].iter().find_map(|suffix| family.strip_suffix(suffix)).unwrap_or(family);
        let row = |name: &str| documented.contains(&format!("| `{name}` |"));
        assert!(row(family) || row(base), "docs/metrics.md has no {family}");
    }
}

fn tools(test: &str) -> Option<(Tools, Programs)> {
    let found = Tools::find().and_then(|tools| Ok((tools, Programs::find()?)));
    found.map_err(|reason| skip(test, &reason)).ok()
}

#[test]
fn the_example_for_prometheus_adapter_is_consistent() {
    let Some((tools, programs)) = tools("the_example_for_prometheus_adapter_is_consistent") else { return };
    let objects = tools.yaml(&file("examples/hpa-prometheus-adapter.yaml"));
    let valid: Vec<_> = objects.iter().filter(|object| object["kind"] != "PrometheusRule").cloned().collect();
    assert_eq!(valid.len(), 2);
    assert_eq!(tools.validate(&["1.33", "1.35", "1.37"], &valid), Vec::<Value>::new());

    let values = tempfile::NamedTempFile::new().unwrap();
    fs::write(values.path(), only(&objects, "ConfigMap")["data"]["values.yaml"].as_str().unwrap()).unwrap();
    let values = tools.yaml(values.path()).remove(0);
    let mut offered = Vec::new();
    for rule in ["custom", "external"].iter().flat_map(|kind| values["rules"][*kind].as_array().unwrap()) {
        offered.push(rule["name"]["as"].as_str().unwrap());
        let series = rule["seriesQuery"].as_str().unwrap();
        check(&programs, series);
        // What the adapter fills in, by its documentation.
        let query = rule["metricsQuery"].as_str().unwrap();
        let query = query.replace("<<.Series>>", series.split('{').next().unwrap());
        let query = query.replace("<<.LabelMatchers>>", r#"namespace="n",pod="p""#);
        check(&programs, &query.replace("<<.GroupBy>>", "namespace,pod"));
    }
    for metric in only(&objects, "HorizontalPodAutoscaler")["spec"]["metrics"].as_array().unwrap() {
        let source = if metric["type"] == "Pods" { "pods" } else { "external" };
        let name = metric[source]["metric"]["name"].as_str().unwrap();
        assert!(offered.contains(&name), "{name} is not among {offered:?}");
    }
    let rule = &only(&objects, "PrometheusRule")["spec"]["groups"][0]["rules"][0];
    assert_eq!(rule["record"], FAMILIES_OF_RULES);
    check(&programs, rule["expr"].as_str().unwrap());
}

#[test]
fn the_example_for_keda_is_consistent() {
    let Some((tools, programs)) = tools("the_example_for_keda_is_consistent") else { return };
    let objects = tools.yaml(&file("examples/keda-scaledobject.yaml"));
    let spec = &only(&objects, "ScaledObject")["spec"];
    let triggers = spec["triggers"].as_array().unwrap();
    assert_eq!(triggers.len(), 2);
    for trigger in triggers {
        assert_eq!(trigger["type"], "prometheus");
        // All values of KEDA's metadata are strings.
        let metadata = trigger["metadata"].as_object().unwrap();
        assert!(metadata.values().all(Value::is_string), "{trigger}");
        check(&programs, metadata["query"].as_str().unwrap());
        assert!(metadata["threshold"].as_str().unwrap().parse::<f64>().is_ok(), "{trigger}");
    }
}
