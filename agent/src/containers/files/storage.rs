//! Files of Podman and CRI-O: `<driver>-containers/containers.json` in their storage, with the names of all containers,
//! and `<id>/userdata/config.json` beside it, with CRI-O's Kubernetes metadata in the annotations.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::{FILE_BYTES, entries, read};
use crate::{
    containers::{metadata::Metadata, source::Source},
    snapshot::identity::Runtime,
};

/// Maximum size of the file about all containers. One container takes some 600 bytes.
const ALL_BYTES: u64 = 8 << 20;

#[derive(Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
    /// JSON in a string.
    metadata: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoredMetadata {
    image_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Spec {
    annotations: Option<HashMap<String, String>>,
}

pub(super) fn names(root: &Path, id: &str, filter: &[String]) -> Option<Metadata> {
    // Usually `overlay-containers`.
    let mut drivers = entries(root).filter(|name| name.ends_with("-containers"));
    let (containers, stored) = drivers.find_map(|name| {
        let containers = root.join(name);
        let all: Vec<Stored> = read(&containers.join("containers.json"), ALL_BYTES)?;
        let stored = all.into_iter().find(|stored| stored.id == id)?;
        Some((containers, stored))
    })?;
    let spec: Spec = read(&containers.join(id).join("userdata/config.json"), FILE_BYTES).unwrap_or_default();
    let annotations = spec.annotations.unwrap_or_default();
    let get = |key: &str| annotations.get(key).map(String::as_str);
    let cri_o = get("io.container.manager") == Some("cri-o");
    let metadata: StoredMetadata =
        stored.metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let image = get("io.kubernetes.cri-o.ImageName").or(metadata.image_name.as_deref());
    let name = stored.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    let labels = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let source = Source::files(if cri_o { Runtime::CriO } else { Runtime::Podman });
    Some(Metadata::new(source, &name, image.unwrap_or_default(), labels, filter))
}
