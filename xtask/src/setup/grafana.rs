//! Installs the libraries of which Grafana consists, below `target/xtask/grafana`: its types, and what applies units, mappings
//! and transformations. Tests check the dashboards with them.
//!
//! npm uses its own configuration. If it is missing or cannot download the packages, setup continues, and the tests are skipped
//! with a reason.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use super::installed::{self, TIMEOUT};
use crate::{step, toolchain, workspace};

/// The packages with their versions.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// Installs them, unless they are there.
pub(super) fn install() {
    if let Err(error) = ensure() {
        step::note(&format!("tests of dashboards with Grafana's libraries will be skipped: {error:#}"));
    }
}

fn ensure() -> anyhow::Result<()> {
    let read = |file: &str| {
        let path = workspace::root().join("tests/grafana").join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let contents = FILES.map(read).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    installed::ensure("Grafana's libraries", "grafana", &contents.concat(), |root| {
        anyhow::ensure!(
            toolchain::in_path("npm").is_some(),
            "npm is not installed (it comes with Node.js 20 or later)"
        );
        for (file, content) in FILES.iter().zip(&contents) {
            fs::write(root.join(file), content)
                .with_context(|| format!("write {file} to {}", root.display()))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(root);
        step::run_beside("install Grafana's libraries", &mut npm, TIMEOUT)
    })
}
