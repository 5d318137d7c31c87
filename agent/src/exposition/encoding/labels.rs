//! Rendering label sets.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::encoder::Encoder;
use crate::snapshot::{identity::Identity, machine::Machine};

/// Maximum length of a label value, in bytes. A cgroup path of any length fits.
const VALUE_MAX_BYTES: usize = 4096;
/// Maximum length of the name of a runtime label, in bytes.
const NAME_MAX_BYTES: usize = 256;
/// Maximum number of runtime labels of one container.
const RUNTIME_LABELS_MAX: usize = 64;

/// Appends one label to `set`. Long values are truncated.
pub(super) fn append(set: &mut BytesMut, name: &str, value: &str, encoder: &impl Encoder) {
    encoder.label(set, name, truncated(value, VALUE_MAX_BYTES));
}

/// A set of labels. Empty values are left out: to Prometheus an empty label is a missing one.
pub(super) fn set(labels: &[(&str, &str)], encoder: &impl Encoder) -> BytesMut {
    let mut set = BytesMut::new();
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        append(&mut set, name, value, encoder);
    }
    set
}

/// The labels of the host.
pub(super) fn of_machine(machine: &Machine, encoder: &impl Encoder) -> BytesMut {
    let Machine { machine_id, system_uuid, boot_id, .. } = machine;
    set(&[("machine_id", machine_id), ("system_uuid", system_uuid), ("boot_id", boot_id)], encoder)
}

/// The static labels.
pub(super) fn of_host(labels: &BTreeMap<String, String>, encoder: &impl Encoder) -> BytesMut {
    let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    set(&labels, encoder)
}

/// The runtime labels as `container_label_*`. Different names can become equal, such as `a.b` and `a-b`; the first one
/// is kept, because a duplicate label makes the whole scrape invalid.
pub(super) fn of_runtime(identity: &Identity) -> Vec<(String, &str)> {
    let mut labels: Vec<(String, &str)> = Vec::with_capacity(identity.labels.len().min(RUNTIME_LABELS_MAX));
    for (name, value) in identity.labels.iter().take(RUNTIME_LABELS_MAX) {
        let name = label_name(name);
        if labels.iter().all(|(other, _)| *other != name) {
            labels.push((name, value));
        }
    }
    labels
}

/// cAdvisor's name for a runtime label.
fn label_name(name: &str) -> String {
    let word = truncated(name, NAME_MAX_BYTES).chars();
    let word = word.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    "container_label_".chars().chain(word).collect()
}

/// The longest prefix of `text` with at most this many bytes.
fn truncated(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_name_is_what_cadvisor_makes_of_it() {
        assert_eq!(
            label_name("com.docker.compose.container-number"),
            "container_label_com_docker_compose_container_number"
        );
        assert_eq!(label_name("größe/x"), "container_label_gr__e_x");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(truncated("aß", 2), "a");
        assert_eq!(truncated("aß", 3), "aß");
        assert_eq!(truncated("", 2), "");
    }
}
