//! The Grafana dashboards of the repository, as data.

use std::{fs, path::Path};

use serde_json::Value;

/// A dashboard.
pub struct Dashboard {
    /// The name of its file.
    pub file: String,
    /// Its JSON.
    pub json: Value,
}

/// A query of a panel.
pub struct Query {
    /// The dashboard and panel, for messages.
    pub place: String,
    /// The query, with Grafana's variables.
    pub promql: String,
}

impl Dashboard {
    /// Reads every dashboard.
    ///
    /// # Panics
    /// If there are none, or one is not JSON.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
        let files =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("read dashboards/: {error}")).flatten();
        let files =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        let read =
            |path: &Path| -> anyhow::Result<Value> { Ok(serde_json::from_str(&fs::read_to_string(path)?)?) };
        let all: Vec<_> = files
            .map(|path| {
                let json = read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
                Self { file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), json }
            })
            .collect();
        assert!(!all.is_empty(), "dashboards/ is empty");
        all
    }

    /// Its panels except row headings and texts.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row" && panel["type"] != "text")
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["templating"]["list"]).iter()
    }

    /// The queries of all panels.
    pub fn queries(&self) -> impl Iterator<Item = Query> {
        self.panels().flat_map(|panel| {
            list(&panel["targets"]).iter().map(|target| Query {
                place: format!("{}: {}: {}", self.file, text(&panel["title"]), text(&target["refId"])),
                promql: text(&target["expr"]).to_owned(),
            })
        })
    }
}

/// The items of a list; empty for any other value.
#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The string; empty for any other value.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
