//! The tables in tests/conformance/, and what they must agree with: the table of families.

use std::collections::BTreeSet;

use glassbox::exposition::{Base, families};

use super::source::Source;

/// A family, or one of its series, that glassbox and cAdvisor both have.
pub(super) struct Row {
    pub(super) family: &'static str,
    pub(super) kind: &'static str,
    /// Labels beside those that say whose the series is. A star stands for any value.
    pub(super) labels: Vec<(String, String)>,
    /// Only a container with a CPU quota has it.
    pub(super) quota: bool,
    /// Where it is on cgroup v2 and on v1.
    pub(super) v2: Source,
    pub(super) v1: Source,
}

/// What is the same in both.
pub(super) fn rows() -> Vec<Row> {
    let rows = lines(include_str!("../../conformance/families.txt")).map(|line| {
        let columns: Vec<&str> = line.split(" |").map(str::trim).collect();
        let [family, kind, labels, v2, v1] = columns[..] else { panic!("five columns: {line}") };
        let words = || labels.split_ascii_whitespace();
        let labels = words().filter_map(|word| word.split_once('='));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let quota = words().any(|word| word == "quota");
        Row { family, kind, labels, quota, v2: Source::parse(v2), v1: Source::parse(v1) }
    });
    rows.collect()
}

/// What only cAdvisor has, and why.
pub(super) fn left_out() -> Vec<(&'static str, &'static str)> {
    lines(include_str!("../../conformance/left_out.txt"))
        .map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("two columns: {line}")))
        .collect()
}

/// Where a family that both have differs on purpose: family or a star, what, why.
pub(super) fn differences() -> Vec<[&'static str; 3]> {
    lines(include_str!("../../conformance/differences.txt"))
        .map(|line| {
            let columns: Vec<&str> = line.split(" | ").collect();
            columns.try_into().unwrap_or_else(|_| panic!("three columns: {line}"))
        })
        .collect()
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn the_inherited_families_are_those_of_the_table() {
    let rows = rows();
    for row in &rows {
        let family = families().find(|family| family.name == row.family);
        let family = family.unwrap_or_else(|| panic!("glassbox has no {}", row.family));
        assert_eq!(format!("{:?}", family.kind).to_lowercase(), row.kind, "{}", row.family);
        let labels: Vec<_> = row.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(labels, family.labels, "{}", row.family);
        let machine = row.family.starts_with("machine_");
        let bases: &[Base] = if machine { &[Base::Machine] } else { &[Base::CAdvisor, Base::Labelled] };
        assert!(bases.contains(&family.base), "{}", row.family);
    }
    let known: BTreeSet<_> = rows.iter().map(|row| row.family).collect();
    let missing: Vec<_> = families()
        .filter(|family| family.is_inherited() && !known.contains(family.name))
        .map(|family| family.name)
        .collect();
    assert!(missing.is_empty(), "not in tests/conformance/families.txt: {missing:?}");
}

#[test]
fn what_is_left_out_is_not_there_and_has_a_reason() {
    let mut names = BTreeSet::new();
    for (family, why) in left_out() {
        assert!(names.insert(family), "{family} is left out twice");
        assert!(why.len() > 10, "{family}: {why}");
        assert!(families().all(|other| other.name != family), "{family} is there");
    }
    let known: BTreeSet<_> = families().map(|family| family.name).collect();
    for [family, what, why] in differences() {
        assert!(family == "*" || known.contains(family), "{family}");
        assert!(what.starts_with("label ") || ["absent", "value"].contains(&what), "{family}: {what}");
        assert!(why.len() > 10, "{family}: {why}");
    }
}
