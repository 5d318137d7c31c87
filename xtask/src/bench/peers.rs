//! Tools that glassbox is compared with. Setup installs libbpf-tools; the others are unpacked below `target/xtask`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::archive::Archive;
use crate::{debian, step, toolchain, workspace};

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
            cadvisor: print_result("cAdvisor", unpacked("cadvisor", "cadvisor", Some(CADVISOR_SUITE))),
            node_exporter: print_result(
                "node_exporter",
                unpacked("prometheus-node-exporter", "prometheus-node-exporter", None),
            ),
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

fn print_result(name: &str, found: anyhow::Result<PathBuf>) -> Option<PathBuf> {
    match found {
        Ok(path) => {
            step::note(&format!("{name}: {}", path.display()));
            Some(path)
        }
        Err(error) => {
            step::note(&format!("continuing without {name}: {error:#}"));
            None
        }
    }
}

/// The program of a package from `suite`, or from the suites of this machine's apt.
fn unpacked(package: &str, program: &str, suite: Option<&str>) -> anyhow::Result<PathBuf> {
    let root = workspace::scratch().join("bench").join(package);
    let path = root.join("usr/bin").join(program);
    if !path.is_file() {
        match suite {
            Some(suite) => {
                let archive = Archive::open(suite)?.with_context(|| format!("find a mirror of {suite}"))?;
                archive.unpack(&[package], &root)?;
            }
            None => debian::unpack(package, &root)?,
        }
    }
    anyhow::ensure!(path.is_file(), "find {program} in {package}");
    Ok(path)
}
