//! A whole dashboard: the common settings, and the variables at the top.

use serde_json::{Value, json};

use super::panel::{Row, place};

/// The language of the titles and descriptions in this program.
pub(super) const ENGLISH: &str = "en";

/// A dashboard.
pub(super) struct Board {
    /// File name without extension, and end of the uid.
    pub(super) name: &'static str,
    /// Title of the dashboard.
    pub(super) title: &'static str,
    /// Purpose of the dashboard.
    pub(super) description: &'static str,
    /// Variables in addition to data source, job and instance.
    pub(super) variables: Vec<Value>,
    /// Events that Grafana marks in all graphs.
    pub(super) annotations: Vec<Value>,
    /// Rows from top to bottom.
    pub(super) rows: Vec<Row>,
}

impl Board {
    /// Grafana's JSON.
    ///
    /// `language` is a tag, so that the links lead to dashboards of the same language.
    pub(super) fn json(self, language: &str) -> Value {
        let mut variables = common_variables();
        variables.extend(self.variables);
        json!({
            "annotations": { "list": self.annotations },
            "description": self.description,
            "editable": false,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": null,
            "links": [{
                "type": "dashboards",
                "title": "",
                "tags": ["glassbox", language],
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
            "tags": ["glassbox", language],
            "templating": { "list": variables },
            "time": { "from": "now-1h", "to": "now" },
            "timepicker": {},
            "timezone": "browser",
            "title": self.title,
            "uid": if language == ENGLISH { format!("glassbox-{}", self.name) } else { format!("glassbox-{}-{language}", self.name) },
            "version": 1,
            "weekStart": "",
        })
    }
}

fn common_variables() -> Vec<Value> {
    let datasource = datasource_variable("datasource", "Data source", "prometheus");
    // "All" must be the list of jobs with an agent: a cAdvisor exports the same families, which would be counted twice.
    let job = query_variable("job", "Job", "label_values(glassbox_build_info, job)", None);
    let instance = variable("instance", "Instance", r#"glassbox_build_info{job=~"$job"}"#);
    vec![datasource, job, instance]
}

fn datasource_variable(name: &str, label: &str, kind: &str) -> Value {
    json!({
        "type": "datasource",
        "name": name,
        "label": label,
        "query": kind,
        "current": {},
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
    })
}

/// A multi-value variable with the values of the label `name` in the series of `selector`.
pub(super) fn variable(name: &str, label: &str, selector: &str) -> Value {
    query_variable(name, label, &format!("label_values({selector}, {name})"), Some(".+"))
}

/// The containers of the selected hosts.
pub(super) fn containers() -> Value {
    variable("container", "Container", r#"glassbox_container_info{job=~"$job", instance=~"$instance"}"#)
}

/// The data source of the log entries to which panels link.
pub(super) fn logs() -> Value {
    datasource_variable("logs", "Logs", "loki")
}

/// Marks the times at which an expression has values. `text` may contain labels.
pub(super) fn annotation(name: &str, color: &str, expression: &str, text: &str) -> Value {
    json!({
        "name": name,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "enable": true,
        "hide": false,
        "iconColor": color,
        "expr": expression,
        "step": "30s",
        "titleFormat": text,
        "textFormat": "",
        "tagKeys": "",
        "useValueForTime": false,
    })
}

fn query_variable(name: &str, label: &str, query: &str, all: Option<&str>) -> Value {
    let mut variable = json!({
        "type": "query",
        "name": name,
        "label": label,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "definition": query,
        "query": { "query": query, "refId": format!("glassbox-{name}") },
        "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        "hide": 0,
        "includeAll": true,
        "multi": true,
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": false,
        "sort": 1,
    });
    if let Some(all) = all {
        variable["allValue"] = json!(all);
    }
    variable
}
