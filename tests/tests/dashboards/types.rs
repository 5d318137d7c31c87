//! Grafana ignores members that it does not know, and values that it does not know may break a panel. Its published types find
//! both.

use glassbox_tests::{
    dashboards::{Dashboard, list},
    grafana::Grafana,
    skip,
};
use serde_json::{Value, json};

#[test]
fn every_panel_has_the_types_of_grafana() {
    let grafana = match Grafana::find() {
        Ok(grafana) => grafana,
        Err(reason) => return skip("every_panel_has_the_types_of_grafana", &reason),
    };
    grafana.check_types(&Dashboard::all()).unwrap_or_else(|messages| panic!("{messages}"));
    // The check finds what it is for.
    let mistakes = [
        ("timeseries", "/fieldConfig/defaults/custom/showPoint", json!("never")),
        ("timeseries", "/options/legend/placement", json!("below")),
        ("stat", "/options/colorMod", json!("value")),
        ("state-timeline", "/options/rowHeight", json!("0.8")),
        ("heatmap", "/options/color/mode", json!("schema")),
        ("table", "/options/showHeaders", json!(true)),
        ("text", "/options/mode", json!("md")),
        ("stat", "/gridPos/width", json!(4)),
    ];
    let wrong = mistakes.iter().enumerate().map(|(number, (kind, place, value))| {
        let has_kind = |panel: &Value| panel["type"] == *kind;
        let mut all = Dashboard::in_language("en").into_iter();
        let mut dashboard = all.find(|one| list(&one.json["panels"]).iter().any(has_kind)).unwrap();
        dashboard.file = format!("en/mistake{number}.json");
        let panels = dashboard.json["panels"].as_array_mut().unwrap();
        let (parent, key) = place.rsplit_once('/').unwrap();
        panels.iter_mut().find(|panel| has_kind(panel)).unwrap().pointer_mut(parent).unwrap()[key] =
            value.clone();
        dashboard
    });
    let messages = grafana.check_types(&wrong.collect::<Vec<_>>()).unwrap_err();
    for (number, mistake) in mistakes.iter().enumerate() {
        assert!(
            messages.contains(&format!("en-mistake{number}.ts(")),
            "{mistake:?} is not found: {messages}"
        );
    }
}
