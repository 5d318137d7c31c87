//! Timestamps in Docker's API and files: RFC 3339 in UTC or with an offset, such as `2026-11-22T16:36:02.239103573Z`.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// `None` for times before 1970 (Docker writes the year 1 for "never") and for invalid text. Digits beyond nanoseconds
/// are dropped.
pub(in crate::containers) fn parse(text: &str) -> Option<SystemTime> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let seconds = u64::try_from(parsed.unix_timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, parsed.nanosecond()))
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
            // RFC 3339 allows any number of digits.
            ("2026-11-22T16:36:02.1234567890Z", 1_795_365_362, 123_456_789),
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
            "2026-02-30T00:00:00Z",
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
