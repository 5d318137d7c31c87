//! Docker's own file about a container: `containers/<id>/config.v2.json` in its data directory.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::{FILE_BYTES, read};
use crate::{
    containers::{docker::timestamp, metadata::Metadata, source::Source},
    snapshot::identity::Runtime,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    name: Option<String>,
    config: Option<Config>,
    state: Option<WrittenState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenState {
    started_at: Option<String>,
}

pub(super) fn names(root: &Path, id: &str, filter: &[String]) -> Option<Metadata> {
    let written: Written = read(&root.join("containers").join(id).join("config.v2.json"), FILE_BYTES)?;
    let config = written.config.unwrap_or(Config { image: None, labels: None });
    let (image, labels) = (config.image.unwrap_or_default(), config.labels.unwrap_or_default());
    let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let source = Source::files(Runtime::Docker);
    let mut names = Metadata::new(source, &written.name.unwrap_or_default(), &image, labels, filter);
    let started_at = written.state.and_then(|state| state.started_at);
    names.started_at = started_at.and_then(|text| timestamp::parse(&text));
    Some(names)
}
