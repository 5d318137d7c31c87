//! A dashboard as a whole: what ours have in common, and the variables at their top.

use serde_json::{Value, json};

use super::panel::{Row, place};

/// A dashboard.
pub(super) struct Board {
    /// Its file's name, and the second word of its title.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) description: &'static str,
    /// What can be chosen beside the data source, job and instance.
    pub(super) variables: Vec<Value>,
    /// From top to bottom.
    pub(super) rows: Vec<Row>,
}

impl Board {
    /// Grafana's JSON.
    pub(super) fn json(self) -> Value {
        let mut variables = common_variables();
        variables.extend(self.variables);
        json!({
            "annotations": { "list": [] },
            "description": self.description,
            "editable": false,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": null,
            "links": [{
                "type": "dashboards",
                "title": "",
                "tags": ["glassbox"],
                "asDropdown": false,
                "icon": "external link",
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
                "tooltip": "",
                "url": "",
            }],
            "panels": place(self.rows),
            "refresh": "30s",
            "schemaVersion": 39,
            "tags": ["glassbox"],
            "templating": { "list": variables },
            "time": { "from": "now-1h", "to": "now" },
            "timepicker": {},
            "timezone": "browser",
            "title": format!("glassbox {}", self.name),
            "uid": format!("glassbox-{}", self.name),
            "version": 1,
            "weekStart": "",
        })
    }
}

fn common_variables() -> Vec<Value> {
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
    // All jobs are those with an agent: a cAdvisor beside it has the same families and would be counted, too.
    let job = query_variable("job", "Job", "label_values(glassbox_build_info, job)", None);
    let instance = variable("instance", "Instance", r#"glassbox_build_info{job=~"$job"}"#);
    vec![datasource, job, instance]
}

/// The values of the label `name` in what `selector` selects, any number of which can be chosen.
pub(super) fn variable(name: &str, label: &str, selector: &str) -> Value {
    query_variable(name, label, &format!("label_values({selector}, {name})"), Some(".+"))
}

fn query_variable(name: &str, label: &str, query: &str, all: Option<&str>) -> Value {
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
}
