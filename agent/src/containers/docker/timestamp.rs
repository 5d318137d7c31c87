//! Times as Docker writes them: RFC 3339 in UTC or with an offset, such as `2026-11-22T16:36:02.239103573Z`.

use std::time::{Duration, SystemTime};

/// `None` for times before 1970, which Docker gives for "never", and for nonsense.
pub(in crate::containers) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let (clock, offset_s) = split_offset(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) =
        (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !valid || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = digits(fraction, fraction.len())? * 10i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    let since_epoch = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// The clock, and by how many seconds it is ahead of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let seconds = digits(hours, 2)? * 3600 + digits(minutes, 2)? * 60;
    Some((clock, if offset.starts_with('-') { -seconds } else { seconds }))
}

/// In the Gregorian calendar, reckoned from March so that leap days come last:
/// <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T12:00:00Z", 951_825_600, 0),
            ("2026-11-22T16:36:02.239103573Z", 1_795_365_362, 239_103_573),
            ("2026-11-22T16:36:02.5Z", 1_795_365_362, 500_000_000),
            ("2026-11-22T18:06:02.000000001+01:30", 1_795_365_362, 1),
            ("2026-11-22T08:36:02-08:00", 1_795_365_362, 0),
            ("2100-03-01T00:00:00Z", 4_107_542_400, 0),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn never_and_nonsense_are_none() {
        for text in [
            "0001-01-01T00:00:00Z",
            "",
            "T",
            "2026-11-22",
            "2026-11-22T16:36:02",
            "2026-13-22T16:36:02Z",
            "2026-11-22T24:36:02Z",
            "2026-11-22T16:36:02.Z",
            "2026-11-22T16:36:02.1234567890Z",
            "2026-11-22T16:36:02.+5Z",
            "+026-11-22T16:36:02Z",
            "2026-11-22T16:36:02+é0:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9é]{0,5}-[0-9]{0,3}-[0-9]{0,3}[Té]?[0-9:.+é-]{0,20}Z?") {
            let _ = parse(&text);
        }
    }
}
