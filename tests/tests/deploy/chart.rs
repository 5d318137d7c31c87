//! The Helm chart: lint, schemas of several versions of Kubernetes, and what it must and must not contain.

use std::{collections::BTreeSet, fs};

use glassbox_tests::{
    deployment::{self, Tools, only},
    repository::in_repository,
    skip,
};
use serde_json::{Value, json};

/// The oldest and the newest version with a schema, and one between.
const VERSIONS: [&str; 3] = ["1.33", "1.35", "1.37"];
/// Each value that adds or changes an object is set in one of these.
const VALUES: [&str; 6] = [
    "{}",
    r#"{"profile": "restricted", "networkPolicy": {"enabled": true}}"#,
    r#"{"profile": "privileged", "hostNetwork": true, "affinity": {"nodeAffinity": {}}}"#,
    r#"{"gpu": {"enabled": true}, "priorityClassName": "system-node-critical", "nodeSelector": {"a": "b"}}"#,
    r#"{"dashboards": {"enabled": true, "annotations": {"grafana_folder": "glassbox"}}, "fullnameOverride": "agent"}"#,
    r#"{"runtimes": {"crio": true, "k3s": true, "docker": true}, "image": {"pullSecrets": [{"name": "registry"}]},
        "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "service": {"annotations": {"e": "f"}},
        "config": "tick_ms = 2000\n"}"#,
];

fn tools(test: &str) -> Option<Tools> {
    Tools::find().map_err(|reason| skip(test, &reason)).ok()
}

#[test]
fn helm_lint_has_no_warnings() {
    let Some(tools) = tools("helm_lint_has_no_warnings") else { return };
    // Severity 1 is information: an icon is recommended.
    let findings: Vec<_> =
        tools.lint().into_iter().filter(|finding| finding["severity"] != json!(1)).collect();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn every_object_is_valid_in_three_versions_of_kubernetes() {
    let Some(tools) = tools("every_object_is_valid_in_three_versions_of_kubernetes") else { return };
    for values in VALUES {
        let objects = tools.render(values);
        assert_eq!(tools.validate(&VERSIONS, &objects), Vec::<Value>::new(), "{values}");
    }
    // The schemas are strict: a typing error is found.
    let mut objects = tools.render("{}");
    let daemonset = objects.iter_mut().find(|object| object["kind"] == "DaemonSet").unwrap();
    daemonset["spec"]["template"]["spec"]["hostPIDx"] = json!(true);
    assert_eq!(tools.validate(&VERSIONS, &objects).len(), VERSIONS.len());
}

#[test]
fn the_schema_of_the_values_rejects_mistakes() {
    let Some(tools) = tools("the_schema_of_the_values_rejects_mistakes") else { return };
    for (values, named) in [
        (r#"{"profile": "root"}"#, "/profile"),
        (r#"{"gpu": {"enable": true}}"#, "enable"),
        (r#"{"port": 0}"#, "/port"),
        (r#"{"config": {"tick_ms": 1000}}"#, "/config"),
        (r#"{"image": {"digest": "latest"}}"#, "/image/digest"),
    ] {
        let error = tools.try_render(values).unwrap_err();
        assert!(error.contains(named), "{values}: {error}");
    }
}

#[test]
fn every_value_is_documented_in_a_comment() {
    let Some(tools) = tools("every_value_is_documented_in_a_comment") else { return };
    let text = fs::read_to_string(deployment::file("helm/glassbox/values.yaml")).unwrap();
    let schema = fs::read_to_string(deployment::file("helm/glassbox/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let values = tools.yaml(&deployment::file("helm/glassbox/values.yaml")).remove(0);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut known = keys(&schema["properties"]);
    assert!(known.remove("global"), "Helm sets it");
    assert_eq!(keys(&values), known, "values.yaml and its schema have the same keys");
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        // Keys of the file and of its tables, but not of tables with keys of the user.
        let key = pair[1].trim_start().split(':').next().unwrap_or_default();
        let table = lines[..lines.iter().position(|line| line == &pair[1]).unwrap()].iter().rev();
        let table = table.filter_map(|line| line.strip_suffix(':')).find(|line| !line.starts_with(' '));
        let tables =
            ["image", "gpu", "runtimes", "podMonitor", "prometheusRule", "dashboards", "networkPolicy"];
        let in_table = table.is_some_and(|table| tables.contains(&table)) && pair[1].starts_with("  ");
        let nested = in_table && !pair[1].starts_with("   ") && !key.starts_with('#');
        if nested || known.contains(key) && !pair[1].starts_with([' ', '#']) {
            assert!(pair[0].trim_start().starts_with('#'), "{}: no comment", pair[1]);
        }
    }
}

#[test]
fn no_profile_has_access_to_the_kubernetes_api() {
    let Some(tools) = tools("no_profile_has_access_to_the_kubernetes_api") else { return };
    for values in VALUES {
        let objects = tools.render(values);
        let spec = &only(&objects, "DaemonSet")["spec"]["template"]["spec"];
        assert_eq!(spec["automountServiceAccountToken"], json!(false), "{values}");
        assert_eq!(spec["serviceAccountName"], Value::Null, "{values}");
        let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert!(kinds.iter().all(|kind| !kind.contains("Role") && *kind != "ServiceAccount"), "{kinds:?}");
    }
}

#[test]
fn a_change_of_the_configuration_restarts_the_agents() {
    let Some(tools) = tools("a_change_of_the_configuration_restarts_the_agents") else { return };
    let objects = tools.render(r#"{"config": "tick_ms = 2000\n[containers]\nmax = 512\n"}"#);
    let file = only(&objects, "ConfigMap")["data"]["agent.toml"].as_str().unwrap().to_owned();
    let written = tempfile::NamedTempFile::new().unwrap();
    fs::write(written.path(), file).unwrap();
    let config = glassbox::config::Config::load(written.path()).unwrap();
    assert_eq!(*config.tick_ms, std::time::Duration::from_secs(2));
    let pod = |objects: &[Value]| only(objects, "DaemonSet")["spec"]["template"].clone();
    assert_ne!(pod(&objects), pod(&tools.render("{}")));
}

#[test]
fn the_dashboards_and_rules_are_those_of_the_repository() {
    let Some(tools) = tools("the_dashboards_and_rules_are_those_of_the_repository") else { return };
    let directory = in_repository("dashboards");
    let objects = tools.render(r#"{"dashboards": {"enabled": true}, "prometheusRule": {"enabled": true}}"#);
    let maps = objects.iter().filter(|object| object["metadata"]["labels"]["grafana_dashboard"] == "1");
    let files = maps.flat_map(|map| map["data"].as_object().unwrap().clone());
    let shipped: BTreeSet<String> = files.map(|(_, text)| text.as_str().unwrap().to_owned()).collect();
    let mut wanted = BTreeSet::new();
    let mut pending = vec![directory.clone()];
    while let Some(entry) = pending.pop() {
        if entry.is_dir() {
            pending.extend(fs::read_dir(entry).unwrap().map(|entry| entry.unwrap().path()));
        } else if entry.extension().is_some_and(|extension| extension == "json") {
            wanted.insert(fs::read_to_string(entry).unwrap());
        }
    }
    assert!(!wanted.is_empty());
    assert_eq!(shipped, wanted);

    let rules: Vec<_> = objects.iter().filter(|object| object["kind"] == "PrometheusRule").collect();
    let files = ["alerts.yml", "recording.yml"].map(|name| directory.join(name));
    let files: Vec<_> = files.iter().filter(|file| file.is_file()).collect();
    assert_eq!(rules.len(), files.len());
    for (rule, file) in rules.into_iter().zip(files) {
        assert_eq!(rule["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(rule["spec"], tools.yaml(file)[0], "{}", file.display());
    }
}

#[test]
fn a_pod_monitor_keeps_the_labels_of_the_measured_containers() {
    let Some(tools) = tools("a_pod_monitor_keeps_the_labels_of_the_measured_containers") else { return };
    let values = r#"{"podMonitor": {"enabled": true, "staticLabels": {"env": "prod", "cluster": "eu-1"}}}"#;
    let objects = tools.render(values);
    let (monitor, daemonset) = (only(&objects, "PodMonitor"), only(&objects, "DaemonSet"));
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["spec"]["selector"], daemonset["spec"]["selector"]);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let agent = &daemonset["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(endpoint["port"], agent["ports"][0]["name"]);
    assert_eq!(endpoint["honorLabels"], json!(true));
    assert_eq!(
        endpoint["relabelings"],
        json!([
            {"action": "labeldrop", "regex": "container|endpoint|namespace|pod"},
            {"targetLabel": "instance", "sourceLabels": ["__meta_kubernetes_pod_node_name"]},
            {"targetLabel": "job", "replacement": "glassbox"},
            {"targetLabel": "cluster", "replacement": "eu-1"},
            {"targetLabel": "env", "replacement": "prod"},
        ])
    );
}
