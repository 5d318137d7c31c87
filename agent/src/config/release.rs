//! A release of the NVIDIA driver: parsing, formatting and comparison.

/// A driver's release, such as 580.65.06.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32, pub u32);

impl Release {
    /// Less than every real release.
    pub const FIRST: Self = Self(0, 0, 0);

    /// Parses `580.65.06` or `580.65`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = |part: &str| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = text.split('.').map(|part| part.parse().ok().filter(|_| is_number(part)));
        let release = Self(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        parts.next().is_none().then_some(release)
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:02}.{:02}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_parsed_and_compared_part_by_part() {
        assert_eq!(Release::parse("535.104.05"), Some(Release(535, 104, 5)));
        assert_eq!(Release::parse("470.82"), Some(Release(470, 82, 0)));
        assert!(Release(550, 54, 14) > Release(550, 40, 7) && Release(590, 44, 1) > Release(580, 159, 4));
        for other in ["", "x86_64", "580", "1.2.3.4", "580.a.1", "99999.1.1"] {
            assert_eq!(Release::parse(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_a_parsed_release_is_formatted_the_same(
            text in "\\PC{0,20}", parts in (0..=9999_u32, 0..=9999_u32, 0..=9999_u32), near in "([+ -]?[0-9]{0,5}\\.){1,3}[+ -]?[0-9]{0,5}",
        ) {
            let release = Release(parts.0, parts.1, parts.2);
            proptest::prop_assert_eq!(Release::parse(&release.to_string()), Some(release));
            for text in [text, near] {
                if let Some(read) = Release::parse(&text) {
                    proptest::prop_assert_eq!(Release::parse(&read.to_string()), Some(read));
                    proptest::prop_assert!(text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()), "{}", text);
                }
            }
        }
    }
}
