//! Version and commit of this build, for `glassbox --version`, `glassbox_build_info` and `glassbox check --json`. The
//! build script reads the commit from git. In a build without git history, for example from a tarball, the commit is
//! [`UNKNOWN`].

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit: 12 hexadecimal digits.
pub const COMMIT: &str = env!("GLASSBOX_COMMIT");
/// The date of the commit in UTC, such as `2026-11-25`. The date of the build would make builds irreproducible.
pub const COMMIT_DATE: &str = env!("GLASSBOX_COMMIT_DATE");
/// Value of [`COMMIT`] and [`COMMIT_DATE`] if the build has no git history.
pub const UNKNOWN: &str = "unknown";

/// Version, commit and date in one line.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("GLASSBOX_COMMIT"),
    ", ",
    env!("GLASSBOX_COMMIT_DATE"),
    ")"
);
