//! Debian's Prometheus for `cargo xtask run` and for tests.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::{archive::Archive, step, unpacked::Unpacked, workspace};

/// Environment variable with the directory of `prometheus` and `promtool`, for tests.
pub(crate) const VARIABLE: &str = "GLASSBOX_PROMETHEUS_DIR";

const PROMETHEUS: Unpacked =
    Unpacked { name: "Prometheus", package: "prometheus", programs: "`prometheus` and `promtool`" };
/// Suites with Prometheus 3, which can store classic histograms as native ones.
const NEWER: [&str; 2] = ["forky", "sid"];

/// The directory of `prometheus` and `promtool` if they are available.
pub(crate) fn directory() -> Option<PathBuf> {
    Some(PROMETHEUS.program()?.parent()?.to_owned())
}

/// Like [`directory`], but downloads the programs if they are missing.
pub(crate) fn fetch() -> anyhow::Result<PathBuf> {
    let program = PROMETHEUS.fetch()?;
    Ok(program.parent().context("find the directory of prometheus")?.to_owned())
}

/// Downloads Prometheus 3, for tests, unless it is there. Without it, a test is skipped with a reason.
pub(crate) fn fetch_newer() {
    if let Err(error) = ensure_newer() {
        step::note(&format!("tests of native histograms will be skipped: {error:#}"));
    }
}

fn ensure_newer() -> anyhow::Result<()> {
    let root = workspace::scratch().join("prometheus-3");
    let record = root.join("installed");
    if let Ok(version) = fs::read_to_string(&record) {
        step::note(&format!("Prometheus {version}: {}", root.display()));
        return Ok(());
    }
    for suite in NEWER {
        let Some(archive) = Archive::open(suite)? else { continue };
        if let Some(version) = archive.version("prometheus")?.filter(|version| version.starts_with("3.")) {
            archive.unpack(&["prometheus"], &root)?;
            return fs::write(&record, version).with_context(|| format!("write {}", record.display()));
        }
    }
    anyhow::bail!("find a package of Prometheus 3 in Debian's {}", NEWER.join(", "))
}
