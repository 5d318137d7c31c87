//! Which release of the driver runs here.

use std::{fs, path::Path};

/// A driver's release, such as 580.65.06.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32, pub u32);

impl Release {
    /// Before every other.
    pub(super) const FIRST: Self = Self(0, 0, 0);

    /// Reads `580.65.06` or `580.65`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = |part: &str| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = text.split('.').map(|part| part.parse().ok().filter(|_| is_number(part)));
        let release = Self(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        parts.next().is_none().then_some(release)
    }

    /// The release of the loaded driver; `None` where none is loaded or it does not say.
    #[must_use]
    pub fn running(proc_root: &Path, sys_root: &Path) -> Option<Self> {
        let module = fs::read_to_string(sys_root.join("module/nvidia/version")).ok();
        let module = module.and_then(|text| Self::parse(text.trim()));
        module.or_else(|| {
            // "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build …"
            let text = fs::read_to_string(proc_root.join("driver/nvidia/version")).ok()?;
            text.lines().next()?.split_whitespace().find_map(Self::parse)
        })
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
    fn releases_are_read_and_compared_part_by_part() {
        assert_eq!(Release::parse("535.104.05"), Some(Release(535, 104, 5)));
        assert_eq!(Release::parse("470.82"), Some(Release(470, 82, 0)));
        assert!(Release(550, 54, 14) > Release(550, 40, 7) && Release(590, 44, 1) > Release(580, 159, 4));
        for other in ["", "x86_64", "580", "1.2.3.4", "580.a.1", "99999.1.1"] {
            assert_eq!(Release::parse(other), None, "{other}");
        }
    }

    #[test]
    fn both_texts_of_the_driver_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let version = directory.path().join("driver/nvidia/version");
        fs::create_dir_all(version.parent().unwrap()).unwrap();
        let running = || Release::running(directory.path(), Path::new("/nonexistent"));
        assert_eq!(running(), None);
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: gcc version 12.2.0\n";
        fs::write(&version, open).unwrap();
        assert_eq!(running(), Some(Release(580, 65, 6)));
        let closed =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n";
        fs::write(&version, closed).unwrap();
        assert_eq!(running(), Some(Release(535, 104, 5)));
        fs::write(&version, [0xFF, 0xFE]).unwrap();
        assert_eq!(running(), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_the_same(
            text in "\\PC{0,20}", parts in (0..=9999_u32, 0..=9999_u32, 0..=9999_u32), near in "[0-9.+ -]{0,16}",
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
