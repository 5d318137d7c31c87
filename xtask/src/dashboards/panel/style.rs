//! Style of panels: size, colours, thresholds and axes.

use serde_json::{Value, json};

use super::{Panel, mappings};

impl Panel {
    /// Width and height in grid units. Grafana's grid has 24 columns.
    pub(in crate::dashboards) fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// Colours the texts of the last column by thresholds.
    pub(in crate::dashboards) fn coloured(self, steps: &[(f64, &str)]) -> Self {
        self.last_column("thresholds", thresholds(steps), "color-text")
    }

    /// Maps the values of the last column to names, on cells with their colours.
    pub(in crate::dashboards) fn named(self, values: &[(u32, &str, &str)]) -> Self {
        self.last_column("mappings", mappings(values), "color-background")
    }

    /// Shows whole numbers in the last column.
    pub(in crate::dashboards) fn whole(mut self) -> Self {
        self.set_in_last_column("decimals", json!(0));
        self
    }

    fn last_column(mut self, property: &str, value: Value, cells: &str) -> Self {
        self.set_in_last_column(property, value);
        self.set_in_last_column("custom.cellOptions", json!({ "type": cells }));
        self
    }

    fn set_in_last_column(&mut self, property: &str, value: Value) {
        let overrides = self.json["fieldConfig"]["overrides"].as_array_mut();
        let properties = overrides.and_then(|all| all.last_mut()?["properties"].as_array_mut());
        if let Some(properties) = properties {
            properties.push(json!({ "id": property, "value": value }));
        }
    }

    /// Shows whole numbers of events: `increase` extrapolates and returns fractions. Without events, the axis of a graph ends at 1.
    pub(in crate::dashboards) fn events(mut self) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["decimals"] = json!(0);
        if defaults["custom"].is_object() {
            defaults["custom"]["axisSoftMax"] = json!(1);
        }
        self
    }

    /// Makes the queries of a stat panel instant queries. For expressions that cover the time range themselves.
    pub(in crate::dashboards) fn once(mut self) -> Self {
        self.json["options"]["graphMode"] = json!("none");
        for target in self.json["targets"].as_array_mut().into_iter().flatten() {
            (target["instant"], target["range"]) = (json!(true), json!(false));
        }
        self
    }

    /// Shows the maximum in the time range instead of the last value, in a stat panel.
    pub(in crate::dashboards) fn highest(mut self) -> Self {
        self.json["options"]["reduceOptions"]["calcs"] = json!(["max"]);
        self
    }

    /// Sets thresholds; graphs show them as lines.
    pub(in crate::dashboards) fn limits(mut self, steps: &[(f64, &str)]) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["thresholds"] = thresholds(steps);
        if defaults["custom"]["thresholdsStyle"].is_object() {
            defaults["custom"]["thresholdsStyle"]["mode"] = json!("line");
        }
        self
    }

    /// Links each series to the log entries of its container in the time range of the dashboard. The label `container` is that of
    /// the log collector; deploy/compose has one that sets it.
    pub(in crate::dashboards) fn linked_to_logs(mut self) -> Self {
        let query = r#"{container="${__field.labels.container}"}"#;
        let panes = json!({ "logs": {
            "datasource": "${logs}",
            "queries": [{ "refId": "A", "expr": query }],
            "range": { "from": "${__from}", "to": "${__to}" },
        }});
        self.json["fieldConfig"]["defaults"]["links"] = json!([{
            "title": "Logs of this container",
            "url": format!("/explore?schemaVersion=1&panes={}", encoded(&panes.to_string())),
            "targetBlank": true,
        }]);
        self
    }

    /// Sets a soft maximum of the axis: larger values extend it.
    pub(in crate::dashboards) fn up_to(mut self, max: f64) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["axisSoftMax"] = json!(max);
        self
    }

    /// Draws the series on top of each other, as filled areas.
    pub(in crate::dashboards) fn stacked(mut self) -> Self {
        let custom = &mut self.json["fieldConfig"]["defaults"]["custom"];
        custom["stacking"] = json!({ "mode": "normal", "group": "A" });
        custom["fillOpacity"] = json!(40);
        self
    }

    /// Uses a logarithmic axis with base 10.
    pub(in crate::dashboards) fn logarithmic(mut self) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["custom"]["scaleDistribution"] = json!({ "type": "log", "log": 10 });
        // The area below a line has no meaning on this axis.
        defaults["custom"]["fillOpacity"] = json!(0);
        // A logarithmic axis cannot start at 0.
        if let Some(defaults) = defaults.as_object_mut() {
            defaults.remove("min");
        }
        self
    }

    /// Connects points across gaps.
    pub(in crate::dashboards) fn over_gaps(mut self) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["spanNulls"] = json!(true);
        self
    }

    /// Draws series with a legend that matches `pattern` dashed and without fill, for limits.
    pub(in crate::dashboards) fn dashed(mut self, pattern: &str) -> Self {
        let style = json!({ "fill": "dash", "dash": [8, 6] });
        self.json["fieldConfig"]["overrides"] = json!([{
            "matcher": { "id": "byRegexp", "options": pattern },
            "properties": [
                { "id": "custom.lineStyle", "value": style },
                { "id": "custom.fillOpacity", "value": 0 },
            ],
        }]);
        self
    }
}

fn thresholds(steps: &[(f64, &str)]) -> Value {
    let start = json!({ "color": "green", "value": null });
    let steps = steps.iter().map(|(value, color)| json!({ "color": color, "value": value }));
    json!({ "mode": "absolute", "steps": std::iter::once(start).chain(steps).collect::<Vec<_>>() })
}

/// Encodes what has a meaning in a URL. Grafana's variables remain.
fn encoded(text: &str) -> String {
    let encode = |character| match character {
        '"' => "%22".to_owned(),
        '=' => "%3D".to_owned(),
        ' ' => "%20".to_owned(),
        other => String::from(other),
    };
    text.chars().map(encode).collect()
}
