//! Tools that glassbox is compared with. Setup installs libbpf-tools; the others are unpacked below `target/xtask`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::archive::Archive;
use crate::node_exporter::NODE_EXPORTER;
use crate::{step, toolchain, workspace};

/// The last Debian suite with cAdvisor.
const CADVISOR_SUITE: &str = "bullseye";

/// Paths of the programs; `None` if a program is not available.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) runqlat: Option<PathBuf>,
    pub(super) cadvisor: Option<PathBuf>,
    pub(super) node_exporter: Option<PathBuf>,
}

impl Peers {
    pub(super) fn find() -> Self {
        let runqlat = PathBuf::from("/usr/sbin/runqlat");
        Self {
            runqlat: Some(runqlat).filter(|path| path.is_file()).or_else(|| toolchain::in_path("runqlat")),
            cadvisor: available("cAdvisor", cadvisor()),
            node_exporter: available("node_exporter", NODE_EXPORTER.fetch()),
        }
    }

    /// `--flag=program` for all available programs.
    pub(super) fn flags(&self) -> Vec<String> {
        let all = [
            ("runqlat", &self.runqlat),
            ("cadvisor", &self.cadvisor),
            ("node-exporter", &self.node_exporter),
        ];
        all.into_iter()
            .filter_map(|(flag, path)| Some(format!("--{flag}={}", path.as_ref()?.display())))
            .collect()
    }
}

/// The program, or a note that it is missing.
fn available(name: &str, found: anyhow::Result<PathBuf>) -> Option<PathBuf> {
    found.inspect_err(|error| step::note(&format!("continuing without {name}: {error:#}"))).ok()
}

/// cAdvisor from its last Debian suite.
fn cadvisor() -> anyhow::Result<PathBuf> {
    let root = workspace::scratch().join("bench/cadvisor");
    let program = root.join("usr/bin/cadvisor");
    if !program.is_file() {
        let archive = Archive::open(CADVISOR_SUITE)?;
        let archive = archive.with_context(|| format!("find a mirror of {CADVISOR_SUITE}"))?;
        archive.unpack(&["cadvisor"], &root)?;
    }
    anyhow::ensure!(program.is_file(), "find cadvisor in its package");
    step::note(&format!("cAdvisor: {}", program.display()));
    Ok(program)
}
