//! How a panel looks.

use serde_json::{Value, json};

use super::{Panel, mappings};

impl Panel {
    /// Width and height in Grafana's grid, which is 24 wide.
    pub(in crate::dashboards) fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// Colours the cells of the last column by how near they are to 1.
    pub(in crate::dashboards) fn coloured(self, steps: &[(f64, &str)]) -> Self {
        self.last_column("thresholds", thresholds(steps))
    }

    /// Shows the values of the last column by name and colour.
    pub(in crate::dashboards) fn named(self, values: &[(u32, &str, &str)]) -> Self {
        self.last_column("mappings", mappings(values))
    }

    fn last_column(mut self, property: &str, value: Value) -> Self {
        let overrides = self.json["fieldConfig"]["overrides"].as_array_mut();
        let properties = overrides.and_then(|all| all.last_mut()?["properties"].as_array_mut());
        if let Some(properties) = properties {
            properties.push(json!({ "id": property, "value": value }));
            properties.push(json!({ "id": "custom.cellOptions", "value": { "type": "color-background" } }));
        }
        self
    }

    /// Of a number, asks once: the query itself is about all the time shown.
    pub(in crate::dashboards) fn once(mut self) -> Self {
        self.json["options"]["graphMode"] = json!("none");
        for target in self.json["targets"].as_array_mut().into_iter().flatten() {
            (target["instant"], target["range"]) = (json!(true), json!(false));
        }
        self
    }

    /// Of a number, shows the highest in the time shown, not the last.
    pub(in crate::dashboards) fn highest(mut self) -> Self {
        self.json["options"]["reduceOptions"]["calcs"] = json!(["max"]);
        self
    }

    /// Lines where the colour changes.
    pub(in crate::dashboards) fn limits(mut self, steps: &[(f64, &str)]) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["thresholds"] = thresholds(steps);
        if defaults["custom"]["thresholdsStyle"].is_object() {
            defaults["custom"]["thresholdsStyle"]["mode"] = json!("line");
        }
        self
    }

    /// The scale ends at `max`, unless a value lies above.
    pub(in crate::dashboards) fn up_to(mut self, max: f64) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["axisSoftMax"] = json!(max);
        self
    }

    /// Each step is ten times the one before.
    pub(in crate::dashboards) fn logarithmic(mut self) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["custom"]["scaleDistribution"] = json!({ "type": "log", "log": 10 });
        // A logarithmic scale has no 0.
        if let Some(defaults) = defaults.as_object_mut() {
            defaults.remove("min");
        }
        self
    }

    /// Joins points over gaps.
    pub(in crate::dashboards) fn over_gaps(mut self) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["spanNulls"] = json!(true);
        self
    }

    /// Draws the series whose legend matches `pattern` dashed and unfilled, as limits are.
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
