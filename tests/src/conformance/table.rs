//! The tables in tests/conformance/, and the comparison of a scrape with a row of them.

use glassbox_fixtures::exposition::Scrape;

use super::source::{Source, Values};

/// A family that glassbox and cAdvisor both have, or one of its series.
pub struct Row {
    /// The name of the family.
    pub family: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Labels except those that identify the container. `*` stands for any value.
    pub labels: Vec<(String, String)>,
    /// Whether only containers with a CPU quota have it.
    pub quota: bool,
    /// The source on cgroup v2.
    pub v2: Source,
    /// The source on cgroup v1.
    pub v1: Source,
}

/// The families that both have.
///
/// # Panics
/// If a line is not a row of the table.
#[must_use]
pub fn rows() -> Vec<Row> {
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

/// The families that only cAdvisor has, with the reason.
///
/// # Panics
/// If a line is not a row of the table.
#[must_use]
pub fn left_out() -> Vec<(&'static str, &'static str)> {
    lines(include_str!("../../conformance/left_out.txt"))
        .map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("two columns: {line}")))
        .collect()
}

/// Deliberate differences in families that both have: the family or `*`, the difference, the reason.
///
/// # Panics
/// If a line is not a row of the table.
#[must_use]
pub fn differences() -> Vec<[&'static str; 3]> {
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

/// Compares the series of a row with its file: the devices must be the same, and each value must be between the values of
/// the file before and after the scrape.
///
/// # Errors
/// A description of the difference.
pub fn compare(
    scrape: &Scrape,
    subject: (&str, &str),
    row: &Row,
    before: &Values,
    after: &Values,
) -> Result<(), String> {
    let star = row.labels.iter().find(|(_, value)| value == "*").map(|(label, _)| label.as_str());
    let mut labels: Vec<_> = row.labels.iter().filter(|(_, value)| value != "*").cloned().collect();
    labels.push((subject.0.into(), subject.1.into()));
    let shown: Values = scrape
        .of(row.family, &labels)
        .map(|sample| (star.map_or_else(String::new, |star| sample.labels[star].clone()), sample.value))
        .collect();
    if !shown.keys().eq(after.keys()) {
        return Err(format!("exported {shown:?}, in the file {after:?}"));
    }
    for (device, value) in &shown {
        let (Some(before), after) = (before.get(device), after[device]) else {
            return Err(format!("{device} was not in the file before the scrape"));
        };
        let (least, most) = (before.min(after), before.max(after));
        let rounding = most.abs() * 1e-9;
        if !(least - rounding..=most + rounding).contains(value) {
            return Err(format!(
                "{device}: {value} is exported; the file had {before} before and {after} after the scrape"
            ));
        }
    }
    Ok(())
}
