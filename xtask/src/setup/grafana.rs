//! Installs the libraries of which Grafana consists, below `target/xtask/grafana`: its types, and what applies units, mappings
//! and transformations. Tests check the dashboards with them.
//!
//! npm uses its own configuration. If it is missing or cannot download the packages, setup continues, and the tests are skipped
//! with a reason.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{step, toolchain, workspace};

/// The packages with their versions.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];
const TIMEOUT: Duration = Duration::from_secs(600);

/// Installs them, unless they are there.
pub(super) fn install() {
    if let Err(error) = ensure() {
        step::note(&format!("tests of dashboards with Grafana's libraries will be skipped: {error:#}"));
    }
}

fn ensure() -> anyhow::Result<()> {
    let root = workspace::scratch().join("grafana");
    let installed = root.join("installed");
    let read = |file: &str| {
        let path = workspace::root().join("tests/grafana").join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let wanted = FILES.map(read).into_iter().collect::<anyhow::Result<String>>()?;
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        step::note(&format!("Grafana's libraries: {}", root.display()));
        return Ok(());
    }
    anyhow::ensure!(
        toolchain::in_path("npm").is_some(),
        "npm is not installed (it comes with Node.js 20 or later)"
    );
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    for file in FILES {
        fs::write(root.join(file), read(file)?)
            .with_context(|| format!("write {file} to {}", root.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&root);
    step::run_beside("install Grafana's libraries", &mut npm, TIMEOUT)?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))
}
