//! Events that are marked in all graphs of the dashboard.

use serde_json::Value;

use crate::dashboards::{
    board::annotation,
    promql::{growth, promql},
};

pub(super) fn all() -> Vec<Value> {
    let event = |name, color, selector: &str, text| {
        annotation(name, color, &format!("{} > 0", growth(selector, "$__rate_interval")), text)
    };
    vec![
        annotation(
            "Alerts",
            "red",
            &promql("ALERTS{AGENTS, alertstate=\"firing\"}"),
            "{{alertname}} {{container}}",
        ),
        event(
            "Restarts",
            "orange",
            "glassbox_container_restarts_total{CONTAINERS}",
            "{{container}} restarted",
        ),
        event("OOM kills", "purple", "container_oom_events_total{CONTAINERS}", "OOM kill in {{container}}"),
        event(
            "GPU errors (Xid)",
            "dark-red",
            "glassbox_gpu_xid_errors_total{AGENTS}",
            "GPU {{gpu}}: Xid {{xid}}",
        ),
    ]
}
