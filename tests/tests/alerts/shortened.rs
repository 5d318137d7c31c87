//! Shortens the durations of the rules and of Alertmanager's configuration, so that a test need not wait for hours. Nothing
//! else is changed.

use std::ops::RangeInclusive;

/// One second for each minute.
const SPEED_UP: u64 = 60;
/// The longest time for which a condition must hold.
const HOLDS_MAX_S: u64 = 20;

/// The rules with shorter durations: those of `for`, of ranges and of offsets.
pub(super) fn rules(text: &str) -> String {
    // A range must contain several scrapes. An offset is as long as a range, or a multiple.
    let text = each(text, "[", "]", 5..=u64::MAX);
    let text = each(&text, " offset ", "", 5..=u64::MAX);
    each(&text, " for: ", "\n", 1..=HOLDS_MAX_S)
}

/// The configuration of Alertmanager with shorter durations.
pub(super) fn configuration(text: &str) -> String {
    ["wait", "interval"]
        .into_iter()
        .fold(text.to_owned(), |text, key| each(&text, &format!("_{key}: "), "\n", 3..=u64::MAX))
}

/// Shortens each duration between `before` and `after`, to a number of seconds within `bounds_s`.
fn each(text: &str, before: &str, after: &str, bounds_s: RangeInclusive<u64>) -> String {
    let mut parts = text.split(before);
    let mut shortened = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shortened += before;
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let unit = match part[digits..].chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            _ => 0,
        };
        let rest = part.get(digits + 1..).unwrap_or_default();
        match part[..digits].parse::<u64>() {
            Ok(number) if unit > 0 && rest.starts_with(after) => {
                shortened += &format!(
                    "{}s{rest}",
                    (number * unit / SPEED_UP).clamp(*bounds_s.start(), *bounds_s.end())
                );
            }
            _ => shortened += part,
        }
    }
    shortened
}

#[test]
fn only_durations_become_shorter() {
    let text = "expr: a{x=\"[5m]b\"} [5m] offset 15m > 2 ^ 25 and b[1h]\n        for: 30m\n# for: some\n";
    let wanted = "expr: a{x=\"[5s]b\"} [5s] offset 15s > 2 ^ 25 and b[60s]\n        for: 20s\n# for: some\n";
    assert_eq!(rules(text), wanted);
    assert_eq!(
        configuration("  group_wait: 30s\n  repeat_interval: 12h\n"),
        "  group_wait: 3s\n  repeat_interval: 720s\n"
    );
}
