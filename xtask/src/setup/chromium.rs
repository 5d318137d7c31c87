//! Installs Chromium without its window system, for the tests of the status page: 100 MB to download. If the distribution has
//! no such package, setup continues, and the tests are skipped with a reason.

use crate::debian::{self, Conflicts};
use crate::{step, toolchain};

const PACKAGE: &str = "chromium-headless-shell";
/// Other programs that the tests can use.
const PROGRAMS: [&str; 4] = [PACKAGE, "chromium", "chromium-browser", "google-chrome"];

/// Installs it, unless a program is there.
pub(super) fn install() {
    if let Some(found) = PROGRAMS.iter().find_map(|program| toolchain::in_path(program)) {
        return step::note(&format!("Chromium: {}", found.display()));
    }
    let installed = if debian::distribution().is_some() {
        debian::install("Chromium for tests of the page", &[PACKAGE], Conflicts::Refuse)
    } else {
        Err(anyhow::anyhow!("install a program named {} in PATH", PROGRAMS.join(", ")))
    };
    if let Err(error) = installed {
        step::note(&format!("tests of the page in Chromium will be skipped: {error:#}"));
    }
}
