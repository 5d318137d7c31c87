//! Debian's Prometheus, unpacked beside cargo's output and never installed: `run` shows it, tests query it.

use std::path::PathBuf;

use crate::{debian, step, toolchain, workspace};

/// Tells the tests the directory that holds `prometheus` and `promtool`.
pub(crate) const VARIABLE: &str = "GLASSBOX_PROMETHEUS_DIR";

/// The directory that holds `prometheus` and `promtool`, if they are here; a downloaded pair goes first.
pub(crate) fn directory() -> Option<PathBuf> {
    let unpacked = root().join("usr/bin");
    let installed = || Some(toolchain::in_path("prometheus")?.parent()?.to_owned());
    if unpacked.join("prometheus").is_file() { Some(unpacked) } else { installed() }
}

/// [`directory`], after a download if need be.
pub(crate) fn fetch() -> anyhow::Result<PathBuf> {
    if directory().is_none() {
        anyhow::ensure!(
            debian::distribution().is_some(),
            "Prometheus is downloaded as a Debian package only; put `prometheus` and `promtool` into PATH"
        );
        debian::unpack("prometheus", &root())?;
    }
    let directory = directory().ok_or_else(|| anyhow::anyhow!("find prometheus in its package"))?;
    step::note(&format!("Prometheus: {}", directory.display()));
    Ok(directory)
}

fn root() -> PathBuf {
    workspace::scratch().join("prometheus")
}
