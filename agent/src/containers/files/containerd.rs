//! The bundles that containerd passes to its low-level runtime: `<namespace>/<id>/config.json` in the tasks directory.
//! The annotations contain the names that Kubernetes or nerdctl use. Docker's containers are there, too, but without
//! names.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::{FILE_BYTES, entries, read};
use crate::{
    containers::{metadata::Metadata, source::Source},
    snapshot::identity::Runtime,
};

/// The tasks directory below containerd's state directory.
pub(super) const TASKS: &str = "io.containerd.runtime.v2.task";
/// Maximum number of namespaces that are searched.
const NAMESPACES_MAX: usize = 64;
const DOCKERS: &str = "moby";

#[derive(Deserialize)]
struct Spec {
    annotations: Option<HashMap<String, String>>,
}

/// Annotations of containerd's Kubernetes plugin, with the corresponding labels of Kubernetes.
const KUBERNETES: [(&str, &str); 3] = [
    ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"),
];

pub(super) fn names(root: &Path, id: &str, filter: &[String]) -> Option<Metadata> {
    let tasks = root.join(TASKS);
    let mut namespaces = entries(&tasks).take(NAMESPACES_MAX).filter(|namespace| namespace != DOCKERS);
    let spec: Spec = namespaces
        .find_map(|namespace| read(&tasks.join(namespace).join(id).join("config.json"), FILE_BYTES))?;
    let annotations = spec.annotations.unwrap_or_default();
    let get = |key: &str| annotations.get(key).map(String::as_str);
    let sandbox = get("io.kubernetes.cri.container-type") == Some("sandbox");
    let labels = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let known = KUBERNETES.iter().filter_map(|(annotation, label)| Some((*label, get(annotation)?)));
    let known = known.chain(sandbox.then_some(("io.kubernetes.container.name", "POD")));
    let name = get("nerdctl/name").unwrap_or(id);
    let image = get("io.kubernetes.cri.image-name").unwrap_or_default();
    Some(Metadata::new(Source::files(Runtime::Containerd), name, image, labels.chain(known), filter))
}
