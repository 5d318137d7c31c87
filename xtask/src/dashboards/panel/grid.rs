//! Rows of panels, and the position of each panel on Grafana's grid.

use serde_json::{Value, json};

use super::Panel;

/// A row of panels.
pub(in crate::dashboards) struct Row {
    /// Title of the row.
    pub(in crate::dashboards) title: &'static str,
    /// The collectors that provide the data; shown in panels without data. Empty for data that is never absent.
    pub(in crate::dashboards) collectors: &'static str,
    /// Panels from left to right, then top to bottom.
    pub(in crate::dashboards) panels: Vec<Panel>,
}

/// Assigns IDs and grid positions.
pub(in crate::dashboards) fn place(rows: Vec<Row>) -> Vec<Value> {
    let mut placed = Vec::new();
    let (mut x, mut y) = (0, 0);
    for row in rows {
        placed.push(json!({
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "panels": [],
            "id": placed.len() + 1,
            "gridPos": { "h": 1, "w": 24, "x": 0, "y": y },
        }));
        y += 1;
        let mut tallest = 0;
        for Panel { width, height, mut json } in row.panels {
            if x + width > 24 {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            json["id"] = json!(placed.len() + 1);
            if !row.collectors.is_empty() && json["fieldConfig"].is_object() {
                let absent = format!("No data. Collectors: {}", row.collectors);
                json["fieldConfig"]["defaults"]["noValue"] = json!(absent);
            }
            json["gridPos"] = json!({ "h": height, "w": width, "x": x, "y": y });
            placed.push(json);
            x += width;
            tallest = tallest.max(height);
        }
        (x, y) = (0, y + tallest);
    }
    placed
}
