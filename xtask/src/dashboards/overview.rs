//! The overview: every container of the hosts selected, and the agent that watches them.
//!
//! In the queries here `CONTAINERS` stands for the selection of containers, `AGENTS` for that of agents,
//! `EACH` for one series per container, and `ALIVE` leaves out those that have ended: their final counters
//! stay for some minutes, and while a rate of them is 0, as it should be, memory would seem to be still in
//! use.

mod agent;
mod cpu;
mod glance;
mod memory;
mod network;
mod scheduler;

use serde_json::{Value, json};

use super::panel::place;

const PLACEHOLDERS: [(&str, &str); 4] = [
    ("CONTAINERS", r#"job=~"$job", instance=~"$instance", container=~"$container""#),
    ("AGENTS", r#"job=~"$job", instance=~"$instance""#),
    (
        "ALIVE",
        "and on (instance, namespace, pod, container) \
         (glassbox_container_running{job=~\"$job\", instance=~\"$instance\", container=~\"$container\"} == 1)",
    ),
    ("EACH", "by (instance, namespace, pod, container)"),
];

/// The legend of a container's series. The second half is empty outside Kubernetes.
const CONTAINER: &str = "{{container}} {{pod}}";

/// A query with its placeholders filled in.
fn promql(query: &str) -> String {
    PLACEHOLDERS.iter().fold(query.to_owned(), |query, (name, text)| query.replace(name, text))
}

pub(super) fn dashboard() -> Value {
    let rows = vec![glance::row(), cpu::row(), memory::row(), network::row(), scheduler::row(), agent::row()];
    json!({
        "annotations": { "list": [] },
        "description": "Containers as glassbox sees them, and what the agent itself costs.",
        "editable": false,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": null,
        "links": [],
        "panels": place(rows),
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["glassbox"],
        "templating": { "list": variables() },
        "time": { "from": "now-1h", "to": "now" },
        "timepicker": {},
        "timezone": "browser",
        "title": "glassbox overview",
        "uid": "glassbox-overview",
        "version": 1,
        "weekStart": "",
    })
}

fn variables() -> Vec<Value> {
    let datasource = json!({
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
    });
    let chosen = |name: &str, label: &str, query: &str, all: Option<&str>| {
        json!({
            "type": "query",
            "name": name,
            "label": label,
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "definition": query,
            "query": { "query": query, "refId": format!("glassbox-{name}") },
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
            "allValue": all,
            "hide": 0,
            "includeAll": true,
            "multi": true,
            "options": [],
            "refresh": 2,
            "regex": "",
            "skipUrlSync": false,
            "sort": 1,
        })
    };
    // All jobs are those with an agent: a cAdvisor beside it has the same families and would be counted, too.
    let job = chosen("job", "Job", "label_values(glassbox_build_info, job)", None);
    let instance = chosen(
        "instance",
        "Instance",
        r#"label_values(glassbox_build_info{job=~"$job"}, instance)"#,
        Some(".+"),
    );
    let container = chosen(
        "container",
        "Container",
        r#"label_values(container_last_seen{job=~"$job", instance=~"$instance"}, container)"#,
        Some(".+"),
    );
    vec![datasource, job, instance, container]
}
