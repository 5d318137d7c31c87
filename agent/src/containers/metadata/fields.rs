//! The metadata of one container, truncated to limits. Pure.

use std::{collections::BTreeMap, time::SystemTime};

use crate::containers::source::Source;
use crate::{containers::lifecycle::ReportedStatus, snapshot::identity::Runtime};

pub(super) const NAME_BYTES: usize = 256;
pub(super) const IMAGE_BYTES: usize = 512;
const LABELS_MAX: usize = 64;
const LABEL_BYTES: usize = 1024;

/// The metadata that a runtime reports for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The runtime.
    pub runtime: Runtime,
    /// The source. Other sources cannot change the metadata while this one reports the container.
    pub source: Source,
    /// The runtime's name for the container, without a leading slash. Empty if unknown.
    pub name: String,
    /// The image as the user wrote it. Empty if unknown.
    pub image: String,
    /// The labels that the configuration selects.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// The name of the container in its Kubernetes pod.
    pub kubernetes_container: Option<String>,
    /// The compose service.
    pub compose_service: Option<String>,
    /// The number of the container in its compose service.
    pub compose_number: Option<String>,
    /// The compose project.
    pub compose_project: Option<String>,
    /// True for a container of `docker compose run`, which is not one of the service's own.
    pub compose_one_off: bool,
    /// When the main process was started.
    pub started_at: Option<SystemTime>,
    /// The reported status.
    pub status: ReportedStatus,
    /// The cgroup path, if it contains no ID. Without this report, the cgroup would not be treated as a container.
    pub cgroup_path: Option<String>,
}

impl Metadata {
    /// Extracts the known fields from a container's labels, and keeps the labels that `filter` selects: exact names, or
    /// a prefix followed by `*`.
    pub fn new<'a>(
        source: impl Into<Source>,
        name: &str,
        image: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        filter: &[String],
    ) -> Self {
        let source = source.into();
        let mut names = Self {
            runtime: source.runtime,
            source,
            name: cut(name.trim_start_matches('/'), NAME_BYTES),
            image: cut(image, IMAGE_BYTES),
            ..Self::default()
        };
        for (key, value) in labels {
            let known = match key {
                "io.kubernetes.pod.namespace" => Some(&mut names.namespace),
                "io.kubernetes.pod.name" => Some(&mut names.pod),
                "io.kubernetes.container.name" => Some(&mut names.kubernetes_container),
                "com.docker.compose.service" => Some(&mut names.compose_service),
                "com.docker.compose.container-number" => Some(&mut names.compose_number),
                "com.docker.compose.project" => Some(&mut names.compose_project),
                "com.docker.compose.oneoff" => {
                    names.compose_one_off = value.eq_ignore_ascii_case("true");
                    None
                }
                _ => None,
            };
            if let Some(field) = known.filter(|_| !value.is_empty()) {
                *field = Some(cut(value, NAME_BYTES));
            }
            if passes(filter, key) {
                names.keep(key, value);
            }
        }
        names
    }

    /// Keeps a label if the filter selects it.
    pub fn add_label(&mut self, key: &str, value: &str, filter: &[String]) {
        if passes(filter, key) {
            self.keep(key, value);
        }
    }

    /// Keeps a label. If there are too many, those with the first names in alphabetical order stay, so that the
    /// selection does not depend on the order in which labels arrive.
    fn keep(&mut self, key: &str, value: &str) {
        if key.len() > NAME_BYTES {
            return;
        }
        self.labels.insert(key.to_owned(), cut(value, LABEL_BYTES));
        if self.labels.len() > LABELS_MAX {
            self.labels.pop_last();
        }
    }
}

/// True if a filter of exact names and prefixes followed by `*` selects a label.
fn passes(filter: &[String], key: &str) -> bool {
    filter.iter().any(|rule| match rule.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == rule,
    })
}

/// The longest prefix of `text` within `bytes`.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
