//! A whole dashboard: the common settings, and the variables at the top.

use serde_json::{Value, json};

use super::panel::{Row, place};

/// A dashboard.
pub(super) struct Board {
    /// File name without extension, and second word of the title.
    pub(super) name: &'static str,
    /// Purpose of the dashboard.
    pub(super) description: &'static str,
    /// Variables in addition to data source, job and instance.
    pub(super) variables: Vec<Value>,
    /// Rows from top to bottom.
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
    // "All" must be the list of jobs with an agent: a cAdvisor exports the same families, which would be counted twice.
    let job = query_variable("job", "Job", "label_values(glassbox_build_info, job)", None);
    let instance = variable("instance", "Instance", r#"glassbox_build_info{job=~"$job"}"#);
    vec![datasource, job, instance]
}

/// A multi-value variable with the values of the label `name` in the series of `selector`.
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
