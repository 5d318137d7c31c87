//! Label values are the same after a scrape, except for control characters.

use std::time::Duration;

use glassbox::{
    containers::{
        Moment,
        metadata::{Metadata, MetadataStore},
        tracker::{Discovery, Tracker},
    },
    exposition::Scope,
    snapshot::identity::Runtime,
};
use proptest::prelude::*;

use glassbox_fixtures::{
    exposition::families,
    host::{identity, row, snapshot},
};

use super::golden::text;

#[test]
fn only_a_nested_container_has_the_label_parent_id() {
    let (outer, inner) = ("a".repeat(64), "b".repeat(64));
    let parents = |path: String| {
        let mut tracker = Tracker::new(MetadataStore::new(), Vec::new(), Duration::from_secs(300), 4);
        let now = Moment::now();
        tracker.add(
            &Discovery {
                id: &inner,
                runtime: Runtime::Docker,
                cgroup_path: &path,
                cgroup_id: 7,
                slot: None,
                made_at: None,
            },
            now,
        );
        tracker.name(now);
        let families = families(&text(&snapshot(tracker.rows(now, 1)), Scope::All));
        let info = families.into_iter().find(|family| family.name == "glassbox_container_info").unwrap();
        info.samples[0].labels.get("parent_id").cloned()
    };
    assert_eq!(parents(format!("/docker/{outer}/docker/{inner}")), Some(outer.clone()));
    assert_eq!(parents(format!("/docker/{inner}")), None);
}

#[test]
fn of_five_hundred_hostile_labels_the_first_64_are_kept_unchanged() {
    let hostile: Vec<_> = (0..500)
        .map(|number| (format!("evil\n{number:03}\"}} 1"), "a\"b\\c\n\u{fffd}{}".repeat(3)))
        .collect();
    let pairs = hostile.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let names = Metadata::new(Runtime::Docker, "labelled", "image", pairs, &["*".to_owned()]);
    let mut identity = identity("labelled");
    identity.labels = names.labels;
    let families = families(&text(&snapshot(vec![row(identity)]), Scope::All));
    let info = &families.iter().find(|family| family.name == "glassbox_container_info").unwrap().samples;
    let kept: Vec<_> =
        info[0].labels.iter().filter(|(name, _)| name.starts_with("container_label_")).collect();
    assert_eq!((info.len(), kept.len()), (1, 64));
    assert!(kept.iter().all(|(_, value)| **value == hostile[0].1), "{kept:?}");
    assert!(kept[0].0.contains("000") && kept[63].0.contains("063"), "{kept:?}");
}

/// The exported form of a value: control characters other than line feeds are replaced.
fn shown(value: &str) -> String {
    value.chars().map(|c| if c < ' ' && c != '\n' { '\u{FFFD}' } else { c }).collect()
}

#[test]
fn control_characters_are_replaced() {
    let mut identity = identity("a\0b\x01\x1B[31m\r\tc\nd");
    identity.labels.insert("label".into(), "\0".into());
    let text = text(&snapshot(vec![row(identity)]), Scope::All);
    assert!(text.bytes().all(|byte| byte >= b' ' || byte == b'\n'), "{text}");
    assert!(text.contains("container=\"a\u{FFFD}b\u{FFFD}\u{FFFD}[31m\u{FFFD}\u{FFFD}c\\nd\""), "{text}");
}

proptest! {
    #[test]
    fn any_label_value_is_parsed_back_unchanged(
        container in ".{0,40}|[\\\\\"\n{}=,# ]{0,40}",
        image in any::<String>(),
        path in any::<String>(),
        pod in proptest::option::of(any::<String>()),
        label in any::<String>(),
        value in any::<String>(),
    ) {
        let mut identity = identity(&container);
        identity.image = image.clone();
        identity.cgroup_path = path.clone();
        identity.pod = pod.clone();
        identity.labels.insert(label, value.clone());
        let families = families(&text(&snapshot(vec![row(identity)]), Scope::All));
        let info = &families.iter().find(|family| family.name == "glassbox_container_info").unwrap().samples;
        prop_assert_eq!(info.len(), 1);
        let labels = &info[0].labels;
        prop_assert_eq!(&labels["container"], &shown(&container));
        prop_assert_eq!(&labels["image"], &shown(&image));
        prop_assert_eq!(&labels["id"], &shown(&path));
        prop_assert_eq!(labels.get("pod").cloned(), pod.as_deref().filter(|pod| !pod.is_empty()).map(shown));
        let kept = labels.iter().find(|(name, _)| name.starts_with("container_label_")).unwrap();
        prop_assert_eq!(kept.1, &shown(&value));
    }

    #[test]
    fn any_rows_have_unique_series(
        rows in proptest::collection::vec(("[ab]", "[cd]", "[ef]?", any::<[bool; 2]>()), 0..12)
    ) {
        let rows = rows.into_iter().map(|(container, path, pod, [owns_name, ended])| {
            let mut identity = identity(&container);
            identity.cgroup_path = path;
            identity.pod = Some(pod);
            let mut row = row(identity);
            row.owns_name = owns_name;
            row.ended_at = ended.then_some(row.last_seen);
            row
        });
        let mut seen = std::collections::BTreeSet::new();
        for family in families(&text(&snapshot(rows.collect()), Scope::All)) {
            for sample in family.samples {
                let labels = sample.set_labels();
                prop_assert!(seen.insert((sample.name, labels)));
            }
        }
    }
}
