//! Which glassbox this is: `glassbox --version`, `glassbox_build_info`, `glassbox check --json`. The build script takes
//! the commit from git; a build without git's history, as from a tarball, has [`UNKNOWN`] instead.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that was built, 12 hexadecimal digits.
pub const COMMIT: &str = env!("GLASSBOX_COMMIT");
/// The day of that commit, UTC, as `2026-11-25`. Not the day of the build, so that builds can be reproduced.
pub const COMMIT_DATE: &str = env!("GLASSBOX_COMMIT_DATE");
/// Stands for a commit or a day that the build did not know.
pub const UNKNOWN: &str = "unknown";

/// All three in one line.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("GLASSBOX_COMMIT"),
    ", ",
    env!("GLASSBOX_COMMIT_DATE"),
    ")"
);
