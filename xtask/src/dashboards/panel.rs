//! Panels as Grafana's classic JSON has them, with what all of ours have in common said once.
//!
//! Only what a dashboard of ours needs; every panel has a title, a description and a unit, because its
//! constructor takes them.

use serde_json::{Value, json};

/// The Prometheus that the user picks at the top of the dashboard.
fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Where a colour changes: yellow from 80 %, red from 90 %.
pub(super) const NEARLY_FULL: &[(f64, &str)] = &[(0.8, "yellow"), (0.9, "red")];

/// One panel; its place is settled by [`place`].
pub(super) struct Panel {
    width: u32,
    height: u32,
    json: Value,
}

impl Panel {
    /// Lines over time.
    pub(super) fn lines(title: &str, unit: &str, description: &str) -> Self {
        let mut panel = Self::new("timeseries", title, unit, description, 12, 8);
        panel.json["fieldConfig"]["defaults"]["min"] = json!(0);
        panel.json["fieldConfig"]["defaults"]["custom"] = json!({
            "drawStyle": "line",
            "fillOpacity": 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": false,
            "thresholdsStyle": { "mode": "off" },
        });
        panel.json["options"] = json!({
            "legend": {
                "calcs": ["lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": true,
                "sortBy": "Last *",
                "sortDesc": true,
            },
            "tooltip": { "mode": "multi", "sort": "desc" },
        });
        panel
    }

    /// One number per query, large.
    pub(super) fn number(title: &str, unit: &str, description: &str) -> Self {
        let mut panel = Self::new("stat", title, unit, description, 4, 4);
        panel.json["fieldConfig"]["defaults"]["color"] = json!({ "mode": "thresholds" });
        panel.json["options"] = json!({
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "textMode": "auto",
        });
        panel
    }

    /// One lamp per series, 1 green and 0 red.
    pub(super) fn lamps(title: &str, on: &str, off: &str, description: &str) -> Self {
        let mut panel = Self::number(title, "none", description);
        panel.json["fieldConfig"]["defaults"]["mappings"] = json!([{
            "type": "value",
            "options": {
                "0": { "color": "red", "index": 0, "text": off },
                "1": { "color": "green", "index": 1, "text": on },
            },
        }]);
        panel.json["options"]["colorMode"] = json!("background");
        panel.json["options"]["graphMode"] = json!("none");
        panel.json["options"]["textMode"] = json!("value_and_name");
        panel
    }

    /// A distribution over time, from classic buckets. The unit is that of the vertical axis.
    pub(super) fn heatmap(title: &str, unit: &str, description: &str) -> Self {
        let mut panel = Self::new("heatmap", title, "short", description, 24, 9);
        panel.json["fieldConfig"]["defaults"]["custom"] =
            json!({ "scaleDistribution": { "type": "linear" } });
        panel.json["options"] = json!({
            "calculate": false,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "mode": "scheme",
                "scale": "exponential",
                "scheme": "Spectral",
                "reverse": true,
                "steps": 64,
            },
            "filterValues": { "le": 1e-9 },
            "legend": { "show": true },
            "rowsFrame": { "layout": "auto" },
            "tooltip": { "mode": "single", "showColorScale": true, "yHistogram": true },
            "yAxis": { "axisPlacement": "left", "reverse": false, "unit": unit },
        });
        panel
    }

    /// One line per subject, one column per query, in the order of [`Panel::column`].
    pub(super) fn table(title: &str, description: &str) -> Self {
        let mut panel = Self::new("table", title, "short", description, 24, 8);
        panel.json["fieldConfig"]["defaults"]["custom"] = json!({ "align": "auto", "filterable": true });
        panel.json["fieldConfig"]["overrides"] = json!([]);
        panel.json["options"] = json!({ "showHeader": true });
        panel.json["transformations"] = json!([
            { "id": "merge", "options": {} },
            {
                "id": "organize",
                "options": { "excludeByName": { "Time": true }, "indexByName": {}, "renameByName": {} },
            },
        ]);
        panel
    }

    fn new(kind: &str, title: &str, unit: &str, description: &str, width: u32, height: u32) -> Self {
        let json = json!({
            "type": kind,
            "title": title,
            "description": description,
            "datasource": datasource(),
            "fieldConfig": {
                "defaults": {
                    "color": { "mode": "palette-classic" },
                    "mappings": [],
                    "thresholds": { "mode": "absolute", "steps": [{ "color": "green", "value": null }] },
                    "unit": unit,
                },
                "overrides": [],
            },
            "targets": [],
        });
        Self { width, height, json }
    }

    /// Width and height in Grafana's grid, which is 24 wide.
    pub(super) fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// A query whose series are named by `legend`.
    pub(super) fn query(mut self, legend: &str, expression: &str) -> Self {
        self.target(expression, json!({ "legendFormat": legend, "range": true }));
        self
    }

    /// A query that gives buckets.
    pub(super) fn buckets(mut self, expression: &str) -> Self {
        self.target(expression, json!({ "legendFormat": "{{le}}", "range": true, "format": "heatmap" }));
        self
    }

    /// A column of a table.
    pub(super) fn column(mut self, title: &str, unit: &str, expression: &str) -> Self {
        let reference =
            self.target(expression, json!({ "format": "table", "instant": true, "range": false }));
        let organize = &mut self.json["transformations"][1]["options"];
        organize["renameByName"][format!("Value #{reference}")] = json!(title);
        if let Some(all) = self.json["fieldConfig"]["overrides"].as_array_mut() {
            all.push(json!({
                "matcher": { "id": "byName", "options": title },
                "properties": [{ "id": "unit", "value": unit }],
            }));
        }
        self
    }

    /// Colours the cells of the last column by how near they are to 1.
    pub(super) fn coloured(mut self, steps: &[(f64, &str)]) -> Self {
        let overrides = self.json["fieldConfig"]["overrides"].as_array_mut();
        let properties = overrides.and_then(|all| all.last_mut()?["properties"].as_array_mut());
        if let Some(properties) = properties {
            properties.push(json!({ "id": "thresholds", "value": thresholds(steps) }));
            properties.push(json!({ "id": "custom.cellOptions", "value": { "type": "color-background" } }));
        }
        self
    }

    /// Lines where the colour changes.
    pub(super) fn limits(mut self, steps: &[(f64, &str)]) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["thresholds"] = thresholds(steps);
        if defaults["custom"]["thresholdsStyle"].is_object() {
            defaults["custom"]["thresholdsStyle"]["mode"] = json!("line");
        }
        self
    }

    /// The scale ends at `max`, unless a value lies above.
    pub(super) fn up_to(mut self, max: f64) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["axisSoftMax"] = json!(max);
        self
    }

    /// Each step is ten times the one before.
    pub(super) fn logarithmic(mut self) -> Self {
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["custom"]["scaleDistribution"] = json!({ "type": "log", "log": 10 });
        // A logarithmic scale has no 0.
        if let Some(defaults) = defaults.as_object_mut() {
            defaults.remove("min");
        }
        self
    }

    /// Joins points over gaps.
    pub(super) fn over_gaps(mut self) -> Self {
        self.json["fieldConfig"]["defaults"]["custom"]["spanNulls"] = json!(true);
        self
    }

    /// Draws the series whose legend matches `pattern` dashed and unfilled, as limits are.
    pub(super) fn dashed(mut self, pattern: &str) -> Self {
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

    /// Adds a target and returns the letter it goes by.
    fn target(&mut self, expression: &str, more: Value) -> char {
        let mut target = more;
        let targets = self.json["targets"].as_array().map_or(0, Vec::len);
        let reference = ('A'..='Z').nth(targets).unwrap_or('Z');
        target["refId"] = json!(reference);
        target["expr"] = json!(expression);
        target["datasource"] = datasource();
        target["editorMode"] = json!("code");
        if let Some(all) = self.json["targets"].as_array_mut() {
            all.push(target);
        }
        reference
    }
}

fn thresholds(steps: &[(f64, &str)]) -> Value {
    let start = json!({ "color": "green", "value": null });
    let steps = steps.iter().map(|(value, color)| json!({ "color": color, "value": value }));
    json!({ "mode": "absolute", "steps": std::iter::once(start).chain(steps).collect::<Vec<_>>() })
}

/// Panels under a heading.
pub(super) struct Row {
    /// The heading.
    pub(super) title: &'static str,
    /// From left to right, then down.
    pub(super) panels: Vec<Panel>,
}

/// Numbers the panels and sets each on the grid.
pub(super) fn place(rows: Vec<Row>) -> Vec<Value> {
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
            json["gridPos"] = json!({ "h": height, "w": width, "x": x, "y": y });
            placed.push(json);
            x += width;
            tallest = tallest.max(height);
        }
        (x, y) = (0, y + tallest);
    }
    placed
}
