//! Debian's node_exporter for tests: the reference for the format of the web configuration. It is unpacked below
//! `target/xtask`, not installed, because the package starts a service.

use std::path::PathBuf;

use crate::{debian, step, toolchain, workspace};

/// Environment variable with the path of the program, for tests.
pub(crate) const VARIABLE: &str = "GLASSBOX_NODE_EXPORTER";

const PROGRAM: &str = "prometheus-node-exporter";

/// The program if it is available. A downloaded program takes precedence over an installed one.
pub(crate) fn program() -> Option<PathBuf> {
    let unpacked = root().join("usr/bin").join(PROGRAM);
    if unpacked.is_file() { Some(unpacked) } else { toolchain::in_path(PROGRAM) }
}

/// Downloads the program if it is missing.
pub(crate) fn fetch() -> anyhow::Result<()> {
    if program().is_none() {
        anyhow::ensure!(
            debian::distribution().is_some(),
            "node_exporter can only be downloaded as a Debian package; install `{PROGRAM}` in PATH"
        );
        debian::unpack(PROGRAM, &root())?;
    }
    let program = program().ok_or_else(|| anyhow::anyhow!("find {PROGRAM} in its package"))?;
    step::note(&format!("node_exporter: {}", program.display()));
    Ok(())
}

fn root() -> PathBuf {
    workspace::scratch().join("node-exporter")
}
