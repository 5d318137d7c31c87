//! Compares the tables in tests/conformance/ with the table of families.

use std::collections::BTreeSet;

use glassbox::exposition::{LabelSet, families};
use glassbox_tests::conformance::table::{differences, left_out, rows};

#[test]
fn the_inherited_families_are_those_in_the_table() {
    let rows = rows();
    for row in &rows {
        let family = families().find(|family| family.name == row.family);
        let family = family.unwrap_or_else(|| panic!("glassbox has no {}", row.family));
        assert_eq!(format!("{:?}", family.kind).to_lowercase(), row.kind, "{}", row.family);
        let labels: Vec<_> = row.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(labels, family.labels, "{}", row.family);
        let machine = row.family.starts_with("machine_");
        let bases: &[LabelSet] =
            if machine { &[LabelSet::Machine] } else { &[LabelSet::CAdvisor, LabelSet::Labelled] };
        assert!(bases.contains(&family.label_set), "{}", row.family);
    }
    let known: BTreeSet<_> = rows.iter().map(|row| row.family).collect();
    let missing: Vec<_> = families()
        .filter(|family| family.is_inherited() && !known.contains(family.name))
        .map(|family| family.name)
        .collect();
    assert!(missing.is_empty(), "not in tests/conformance/families.txt: {missing:?}");
}

#[test]
fn families_that_are_left_out_are_absent_and_have_a_reason() {
    let mut names = BTreeSet::new();
    for (family, why) in left_out() {
        assert!(names.insert(family), "{family} is listed twice");
        assert!(why.len() > 10, "{family}: {why}");
        assert!(families().all(|other| other.name != family), "{family} is exported");
    }
    let known: BTreeSet<_> = families().map(|family| family.name).collect();
    for [family, what, why] in differences() {
        assert!(family == "*" || known.contains(family), "{family}");
        assert!(what.starts_with("label ") || ["absent", "value"].contains(&what), "{family}: {what}");
        assert!(why.len() > 10, "{family}: {why}");
    }
}
