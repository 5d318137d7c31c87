//! What is known of one container, cut to size. Pure.

use std::{collections::BTreeMap, time::SystemTime};

use crate::containers::source::Source;
use crate::{containers::lifecycle::Life, snapshot::identity::Runtime};

pub(super) const NAME_BYTES: usize = 256;
pub(super) const IMAGE_BYTES: usize = 512;
const LABELS_MAX: usize = 64;
const LABEL_BYTES: usize = 1024;

/// What a runtime tells of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The runtime.
    pub runtime: Runtime,
    /// Who told. Nobody else may change what is known of a container while that one vouches for it.
    pub source: Source,
    /// Its name for the container, without a leading slash. Empty where unknown.
    pub name: String,
    /// The image as the user wrote it. Empty where unknown.
    pub image: String,
    /// The labels that the configuration lets through.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<String>,
    /// The container's name in its Kubernetes pod.
    pub kubernetes_container: Option<String>,
    /// The service in its compose file.
    pub compose_service: Option<String>,
    /// Its number among the containers of its compose service.
    pub compose_number: Option<String>,
    /// Its compose project.
    pub compose_project: Option<String>,
    /// True for a container that `docker compose run` made: not one of the service's own.
    pub compose_one_off: bool,
    /// When its main process was started.
    pub started_at: Option<SystemTime>,
    /// How it fares.
    pub life: Life,
    /// Its cgroup's path, where that bears no id: without it nobody would take that cgroup for a container.
    pub cgroup_path: Option<String>,
}

impl Names {
    /// Takes what is understood from a container's labels, and keeps those that `filter` lets through: exact
    /// names, or a prefix followed by `*`.
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

    /// Keeps a label if the filter lets it through.
    pub fn add_label(&mut self, key: &str, value: &str, filter: &[String]) {
        if passes(filter, key) {
            self.keep(key, value);
        }
    }

    /// Keeps the first labels by name, so that the choice does not depend on their order.
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

/// True where a filter of exact names and prefixes followed by `*` lets a label through.
fn passes(filter: &[String], key: &str) -> bool {
    filter.iter().any(|rule| match rule.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == rule,
    })
}

/// The longest beginning of `text` within `bytes`.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
