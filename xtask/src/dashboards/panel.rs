//! Panels in Grafana's classic JSON.
//!
//! Constructors require a title, a unit and a description, so that no panel lacks one.

mod grid;
mod style;

pub(super) use grid::{Row, place};
use serde_json::{Value, json};

/// The data source selected at the top of the dashboard.
fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Thresholds for usage relative to a limit.
pub(super) const NEARLY_FULL: &[(f64, &str)] = &[(0.8, "yellow"), (0.9, "red")];

/// A panel. [`place`] sets its position.
pub(super) struct Panel {
    width: u32,
    height: u32,
    json: Value,
}

impl Panel {
    /// A time series graph.
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

    /// A stat panel: one large number per query.
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

    /// A stat panel with a coloured field per series: green for 1, red for 0.
    pub(super) fn up_down(title: &str, on: &str, off: &str, description: &str) -> Self {
        Self::lamps(title, &[(0, off, "red"), (1, on, "green")], description)
    }

    /// A stat panel with a coloured field per series. `values` has a number, a name and a colour for each state.
    pub(super) fn lamps(title: &str, values: &[(u32, &str, &str)], description: &str) -> Self {
        let mut panel = Self::number(title, "none", description);
        panel.json["fieldConfig"]["defaults"]["mappings"] = mappings(values);
        panel.json["options"]["colorMode"] = json!("background");
        panel.json["options"]["graphMode"] = json!("none");
        panel.json["options"]["textMode"] = json!("value_and_name");
        panel
    }

    /// A state timeline: one band per series. `values` has a number, a name and a colour for each state.
    pub(super) fn states(title: &str, values: &[(u32, &str, &str)], description: &str) -> Self {
        let mut panel = Self::new("state-timeline", title, "none", description, 24, 8);
        panel.json["fieldConfig"]["defaults"]["custom"] = json!({ "fillOpacity": 80, "lineWidth": 0 });
        panel.json["fieldConfig"]["defaults"]["color"] = json!({ "mode": "thresholds" });
        panel.json["fieldConfig"]["defaults"]["mappings"] = mappings(values);
        panel.json["options"] = json!({
            "alignValue": "left",
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "mergeValues": true,
            "rowHeight": 0.8,
            "showValue": "auto",
            "tooltip": { "mode": "single", "sort": "none" },
        });
        panel
    }

    /// A text panel.
    pub(super) fn text(title: &str, markdown: &str) -> Self {
        let json = json!({
            "type": "text",
            "title": title,
            "options": { "mode": "markdown", "content": markdown },
        });
        Self { width: 6, height: 8, json }
    }

    /// A heatmap of classic histogram buckets. `unit` is the unit of the vertical axis.
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

    /// A table with one column per query. Grafana joins the queries by their labels.
    pub(super) fn table(title: &str, description: &str) -> Self {
        let mut panel = Self::new("table", title, "short", description, 24, 8);
        // With Grafana's default of 150 pixels, a table with many columns is wider than its panel.
        panel.json["fieldConfig"]["defaults"]["custom"] =
            json!({ "align": "auto", "filterable": true, "minWidth": 80 });
        // Coloured cells have the colours of thresholds, not one of the palette per column.
        panel.json["fieldConfig"]["defaults"]["color"] = json!({ "mode": "thresholds" });
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

    /// Adds a query with a legend for its series.
    pub(super) fn query(mut self, legend: &str, expression: &str) -> Self {
        self.target(expression, json!({ "legendFormat": legend, "range": true }));
        self
    }

    /// Adds a query for histogram buckets.
    pub(super) fn buckets(mut self, expression: &str) -> Self {
        self.target(expression, json!({ "legendFormat": "{{le}}", "range": true, "format": "heatmap" }));
        self
    }

    /// Adds a table column.
    pub(super) fn column(mut self, title: &str, unit: &str, expression: &str) -> Self {
        let reference =
            self.target(expression, json!({ "format": "table", "instant": true, "range": false }));
        let organize = &mut self.json["transformations"][1]["options"];
        organize["renameByName"][format!("Value #{reference}")] = json!(title);
        if let Some(all) = self.json["fieldConfig"]["overrides"].as_array_mut() {
            all.push(json!({
                "matcher": { "id": "byName", "options": title },
                "properties": [
                    { "id": "unit", "value": unit },
                    // The text of a panel without data would be in each empty cell.
                    { "id": "noValue", "value": "\u{2013}" },
                    // The icon takes the space of the title.
                    { "id": "custom.filterable", "value": false },
                ],
            }));
        }
        self
    }

    /// Adds a target and returns its reference letter.
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

/// Value mappings: name and colour of single values.
fn mappings(values: &[(u32, &str, &str)]) -> Value {
    let named = values.iter().enumerate().map(|(index, (value, text, color))| {
        (value.to_string(), json!({ "color": color, "index": index, "text": text }))
    });
    json!([{ "type": "value", "options": named.collect::<serde_json::Map<_, _>>() }])
}
