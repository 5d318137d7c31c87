//! What pip and npm install below `target/xtask`, each in a directory of its own. A file in it records what was installed, so
//! that it is installed again only if something else is wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{step, toolchain, workspace};

/// Time limit of a step.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);

/// Runs `install` for `directory`, unless `wanted` is already there. `what` is for messages.
pub(super) fn ensure(
    what: &str,
    directory: &str,
    wanted: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let root: PathBuf = workspace::scratch().join(directory);
    let record = root.join("installed");
    if fs::read_to_string(&record).is_ok_and(|found| found == wanted) {
        step::note(&format!("{what}: {}", root.display()));
        return Ok(());
    }
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    install(&root)?;
    fs::write(&record, wanted).with_context(|| format!("write {}", record.display()))
}

/// Installs Python packages into a virtual environment. pip uses its own configuration.
pub(super) fn ensure_python(what: &str, directory: &str, packages: &[&str]) -> anyhow::Result<()> {
    ensure(what, directory, &packages.join("\n"), |root| {
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(root);
        step::run_beside(&format!("create a virtual environment for {what}"), &mut create, TIMEOUT)?;
        let mut pip = Command::new(root.join("bin/pip"));
        pip.args(["install", "--quiet"]).args(packages);
        step::run_beside(&format!("install {what}"), &mut pip, TIMEOUT)
    })
}

/// Installs the packages of npm that `package-lock.json` in `sources`, a directory of the repository, has. npm uses its own
/// configuration. `optional` also installs optional packages, such as programs for this machine.
pub(crate) fn ensure_npm(what: &str, directory: &str, sources: &str, optional: bool) -> anyhow::Result<()> {
    const FILES: [&str; 2] = ["package.json", "package-lock.json"];
    let read = |file: &str| {
        let path = workspace::root().join(sources).join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let contents = FILES.map(read).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    ensure(what, directory, &contents.concat(), |root| {
        anyhow::ensure!(
            toolchain::in_path("npm").is_some(),
            "npm is not installed (it comes with Node.js 20 or later)"
        );
        for (file, content) in FILES.iter().zip(&contents) {
            fs::write(root.join(file), content)
                .with_context(|| format!("write {file} to {}", root.display()))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(root);
        if !optional {
            npm.arg("--omit=optional");
        }
        step::run_beside(&format!("install {what}"), &mut npm, TIMEOUT)
    })
}
