//! Cache of the driver's compile tests, which both flavours of a branch share.
//!
//! They compile 300 small programs to detect the declarations of kernel functions, which takes 85 s on two CPUs. Both
//! flavours have the same script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::super::kernels::Kernel;
use super::packages::{self, Branch};
use crate::{debian, step};

const SCRIPT: &str = "conftest.sh";
/// Directory with the results, below the sources.
const RESULTS: &str = "conftest";

/// Cache directory of a branch and kernel. It may not exist yet.
pub(super) struct Results(PathBuf);

impl Results {
    pub(super) fn of(branch: &Branch, kernel: &Kernel) -> Self {
        Self(packages::dir().join(format!("{}-conftest", branch.name)).join(kernel.name()))
    }

    /// Copies the cached results to sources with the same script.
    pub(super) fn restore(&self, source: &Path) -> anyhow::Result<()> {
        let script = |dir: &Path| fs::read(dir.join(SCRIPT)).ok();
        if script(&self.0).is_some_and(|saved| Some(saved) == script(source)) {
            copy(&self.0.join(RESULTS), source)?;
        }
        Ok(())
    }

    /// Caches the results of a build.
    pub(super) fn save(&self, source: &Path) -> anyhow::Result<()> {
        debian::make_empty_dir(&self.0)?;
        copy(&source.join(RESULTS), &self.0)?;
        // Copied last: results without a script are incomplete and not used.
        fs::copy(source.join(SCRIPT), self.0.join(SCRIPT))
            .context("cache the script of the compile tests")?;
        Ok(())
    }
}

/// Copies with modification times, because make compares them.
fn copy(from: &Path, into: &Path) -> anyhow::Result<()> {
    let what = format!("copy the results of the compile tests to {}", into.display());
    step::run(&what, Command::new("cp").arg("--archive").arg(from).arg(into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_restored_only_to_sources_with_the_same_script() {
        let dir = tempfile::tempdir().unwrap();
        let source = |name: &str, script: &str| {
            let source = dir.path().join(name);
            fs::create_dir(&source).unwrap();
            fs::write(source.join(SCRIPT), script).unwrap();
            source
        };
        let (first, same, other) = (source("first", "a"), source("same", "a"), source("other", "b"));
        fs::create_dir(first.join(RESULTS)).unwrap();
        fs::write(first.join(RESULTS).join("types.h"), "found").unwrap();
        let results = Results(dir.path().join("kept"));
        results.restore(&same).unwrap();
        assert!(!same.join(RESULTS).exists(), "nothing is cached yet");
        results.save(&first).unwrap();
        results.restore(&same).unwrap();
        results.restore(&other).unwrap();
        assert_eq!(fs::read_to_string(same.join(RESULTS).join("types.h")).unwrap(), "found");
        assert!(!other.join(RESULTS).exists());
    }
}
