//! Debian's Prometheus for `cargo xtask run` and for tests. It is unpacked below `target/xtask`, not installed.

use std::path::PathBuf;

use crate::{debian, step, toolchain, workspace};

/// Environment variable with the directory of `prometheus` and `promtool`, for tests.
pub(crate) const VARIABLE: &str = "GLASSBOX_PROMETHEUS_DIR";

/// The directory of `prometheus` and `promtool` if they are available. Downloaded programs take precedence over installed
/// ones.
pub(crate) fn directory() -> Option<PathBuf> {
    let unpacked = root().join("usr/bin");
    let installed = || Some(toolchain::in_path("prometheus")?.parent()?.to_owned());
    if unpacked.join("prometheus").is_file() { Some(unpacked) } else { installed() }
}

/// Like [`directory`], but downloads the programs if they are missing.
pub(crate) fn fetch() -> anyhow::Result<PathBuf> {
    if directory().is_none() {
        anyhow::ensure!(
            debian::distribution().is_some(),
            "Prometheus can only be downloaded as a Debian package; install `prometheus` and `promtool` in PATH"
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
