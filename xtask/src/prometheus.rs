//! Debian's Prometheus for `cargo xtask run` and for tests.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::unpacked::Unpacked;

/// Environment variable with the directory of `prometheus` and `promtool`, for tests.
pub(crate) const VARIABLE: &str = "GLASSBOX_PROMETHEUS_DIR";

const PROMETHEUS: Unpacked =
    Unpacked { name: "Prometheus", package: "prometheus", programs: "`prometheus` and `promtool`" };

/// The directory of `prometheus` and `promtool` if they are available.
pub(crate) fn directory() -> Option<PathBuf> {
    Some(PROMETHEUS.program()?.parent()?.to_owned())
}

/// Like [`directory`], but downloads the programs if they are missing.
pub(crate) fn fetch() -> anyhow::Result<PathBuf> {
    let program = PROMETHEUS.fetch()?;
    Ok(program.parent().context("find the directory of prometheus")?.to_owned())
}
