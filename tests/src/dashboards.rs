//! The Grafana dashboards of the repository, as data.

use std::fs;

use serde_json::Value;

use crate::repository::in_repository;

/// The languages, by their directories in `dashboards/`. The first one is the source of the others.
pub const LANGUAGES: [&str; 2] = ["en", "zh"];

/// A dashboard.
pub struct Dashboard {
    /// Its language and the name of its file, such as `en/gpu.json`.
    pub file: String,
    /// Its language.
    pub language: &'static str,
    /// Its JSON.
    pub json: Value,
}

/// A query of a panel.
pub struct Query {
    /// The dashboard and panel, for messages.
    pub place: String,
    /// The query, with Grafana's variables.
    pub promql: String,
    /// Whether it only has values while something happens.
    pub is_annotation: bool,
}

impl Dashboard {
    /// Reads every dashboard.
    ///
    /// # Panics
    /// If there are none in a language, or one is not JSON.
    #[must_use]
    pub fn all() -> Vec<Self> {
        LANGUAGES.into_iter().flat_map(Self::in_language).collect()
    }

    /// Reads every dashboard in a language, in the order of their names.
    ///
    /// # Panics
    /// If there are none, or one is not JSON.
    #[must_use]
    pub fn in_language(language: &'static str) -> Vec<Self> {
        let directory = in_repository("dashboards").join(language);
        let read = |name: String| {
            let json: anyhow::Result<Value> = fs::read_to_string(directory.join(&name))
                .map_err(Into::into)
                .and_then(|text| Ok(serde_json::from_str(&text)?));
            let file = format!("{language}/{name}");
            let json = json.unwrap_or_else(|error| panic!("read dashboards/{file}: {error}"));
            Self { file, language, json }
        };
        let files =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("read {}: {error}", directory.display()));
        let mut names: Vec<_> =
            files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        assert!(!names.is_empty(), "{} is empty", directory.display());
        names.into_iter().map(read).collect()
    }

    /// The name of its file without the extension.
    #[must_use]
    pub fn name(&self) -> &str {
        self.file.trim_start_matches(self.language).trim_matches('/').trim_end_matches(".json")
    }

    /// Its panels except row headings and texts.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row" && panel["type"] != "text")
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["templating"]["list"]).iter()
    }

    /// Its annotations.
    pub fn annotations(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["annotations"]["list"]).iter()
    }

    /// Whether it has a variable with this name.
    #[must_use]
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables().any(|variable| variable["name"] == name)
    }

    /// The queries of all panels and annotations.
    pub fn queries(&self) -> impl Iterator<Item = Query> {
        let of_panels = self.panels().flat_map(|panel| {
            list(&panel["targets"]).iter().map(|target| Query {
                place: format!("{}: {}: {}", self.file, text(&panel["title"]), text(&target["refId"])),
                promql: text(&target["expr"]).to_owned(),
                is_annotation: false,
            })
        });
        let of_annotations = self.annotations().map(|annotation| Query {
            place: format!("{}: annotation {}", self.file, text(&annotation["name"])),
            promql: text(&annotation["expr"]).to_owned(),
            is_annotation: true,
        });
        of_panels.chain(of_annotations)
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
