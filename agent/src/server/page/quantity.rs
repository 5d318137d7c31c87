//! Quantities with their units: durations, sizes, shares and times.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use time::OffsetDateTime;

use super::{Language, language::say};

/// A duration of whole seconds, such as `7 min 12 s`.
pub(super) struct Span(pub(super) Duration, pub(super) Language);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(duration, language) = *self;
        let seconds = duration.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let rest = seconds % 60;
        out.write_str(&match seconds {
            0..60 => say!(language, "{seconds} s", "{seconds} 秒"),
            60..3600 => say!(language, "{minutes} min {rest} s", "{minutes} 分 {rest} 秒"),
            3600..86_400 => say!(language, "{hours} h {minutes} min", "{hours} 小时 {minutes} 分"),
            _ => say!(language, "{days} d {hours} h", "{days} 天 {hours} 小时"),
        })
    }
}

/// A size in GiB, or in MiB if it is small.
pub(super) fn size(bytes: u64) -> String {
    const GIB: f64 = (1 << 30) as f64;
    let bytes = bytes as f64;
    if bytes >= GIB {
        format!("{:.1} GiB", bytes / GIB)
    } else {
        format!("{:.0} MiB", bytes / f64::from(1 << 20))
    }
}

/// A used and a total size, such as `1.5 / 2.0 GiB`.
pub(super) fn size_of(used: u64, total: u64) -> String {
    let (used, total) = (size(used), size(total));
    match (used.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} / {total}"),
        _ => format!("{used} / {total}"),
    }
}

/// A ratio as a percentage; nothing for values that are not numbers.
pub(super) fn percent(ratio: f64) -> String {
    if ratio.is_finite() { format!("{:.0} %", ratio * 100.0) } else { String::new() }
}

/// A short duration with three digits at most, such as `1.9 µs`.
pub(super) fn short(seconds: f64) -> String {
    let (value, unit) = match seconds {
        ..1e-3 => (seconds * 1e6, "µs"),
        ..1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let decimals = usize::from(value < 10.0);
    format!("{value:.decimals$} {unit}")
}

/// A time in UTC, such as `2026-11-29 15:04:05 UTC`.
pub(super) fn timestamp(at: SystemTime) -> String {
    let at = utc(at);
    let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
    format!("{date} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A time of day in UTC, such as `15:04`.
pub(super) fn clock(at: SystemTime) -> String {
    let at = utc(at);
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// A time out of range, which a runtime could report, becomes the epoch.
fn utc(at: SystemTime) -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "a timestamp, not an age")]
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        assert_eq!(size(20 << 20), "20 MiB");
        assert_eq!(size(3 << 29), "1.5 GiB");
        assert_eq!(size_of(3 << 29, 2 << 30), "1.5 / 2.0 GiB");
        assert_eq!(size_of(20 << 20, 2 << 30), "20 MiB / 2.0 GiB");
        assert_eq!(percent(0.388), "39 %");
        assert_eq!(percent(f64::NAN), "");
        assert_eq!(
            [short(1.9e-6), short(0.0156), short(0.004), short(2.0)],
            ["1.9 µs", "16 ms", "4.0 ms", "2.0 s"]
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let span = |seconds, language| Span(Duration::from_secs(seconds), language).to_string();
        let english = [4, 432, 7380, 180_000].map(|seconds| span(seconds, Language::English));
        assert_eq!(english, ["4 s", "7 min 12 s", "2 h 3 min", "2 d 2 h"]);
        let chinese = [4, 432, 7380, 180_000].map(|seconds| span(seconds, Language::Chinese));
        assert_eq!(chinese, ["4 秒", "7 分 12 秒", "2 小时 3 分", "2 天 2 小时"]);
    }

    #[test]
    fn a_time_has_its_date_and_its_zone() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        assert_eq!((timestamp(at).as_str(), clock(at).as_str()), ("2026-09-21 14:13:20 UTC", "14:13"));
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(timestamp(late), "1970-01-01 00:00:00 UTC");
    }
}
