//! Installs versions of Gradio for the tests, each into a virtual environment below `target/xtask/gradio`.
//!
//! pip uses its own configuration. If it cannot download the packages, setup continues, and the tests are skipped with a
//! reason.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::{step, workspace};

/// The versions, with the versions of packages without which they no longer work.
const VERSIONS: [(&str, &[&str]); 2] = [
    ("5.50.0", &[]),
    ("4.44.1", &["pydantic==2.10.6", "huggingface_hub<0.26", "fastapi==0.112.2", "numpy<2"]),
];
const TIMEOUT: Duration = Duration::from_secs(600);

/// Installs the missing versions, at the same time.
pub(super) fn install() {
    let version = |(version, packages): (&str, &[&str])| {
        if let Err(error) = ensure(version, packages) {
            step::note(&format!("tests of Gradio {version} will be skipped: {error:#}"));
        }
    };
    thread::scope(|scope| {
        for one in VERSIONS {
            scope.spawn(move || version(one));
        }
    });
}

fn ensure(version: &str, packages: &[&str]) -> anyhow::Result<()> {
    let root = workspace::scratch().join("gradio").join(version);
    let installed = root.join("installed");
    if installed.is_file() {
        step::note(&format!("Gradio {version}: {}", root.display()));
        return Ok(());
    }
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&root);
    step::run_beside(&format!("create a virtual environment for Gradio {version}"), &mut create, TIMEOUT)?;
    let mut install = Command::new(root.join("bin/pip"));
    install.args(["install", "--quiet", &format!("gradio=={version}")]).args(packages);
    step::run_beside(&format!("install Gradio {version}"), &mut install, TIMEOUT)?;
    fs::write(&installed, "").with_context(|| format!("write {}", installed.display()))
}
