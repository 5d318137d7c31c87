//! A Debian package that is unpacked below `target/xtask`, not installed, because its installation would start a service.

use std::path::PathBuf;

use crate::{debian, step, toolchain, workspace};

/// A package, and its main program of the same name.
pub(crate) struct Unpacked {
    /// For messages.
    pub(crate) name: &'static str,
    /// The package and the program.
    pub(crate) package: &'static str,
    /// What users of other distributions have to install.
    pub(crate) programs: &'static str,
}

impl Unpacked {
    /// The program if it is available. A downloaded program takes precedence over an installed one.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let unpacked = self.root().join("usr/bin").join(self.package);
        if unpacked.is_file() { Some(unpacked) } else { toolchain::in_path(self.package) }
    }

    /// Like [`program`](Self::program), but downloads the package if the program is missing.
    pub(crate) fn fetch(&self) -> anyhow::Result<PathBuf> {
        let Self { name, package, programs } = self;
        if self.program().is_none() {
            anyhow::ensure!(
                debian::distribution().is_some(),
                "{name} can only be downloaded as a Debian package; install {programs} in PATH"
            );
            debian::unpack(package, &self.root())?;
        }
        let program = self.program().ok_or_else(|| anyhow::anyhow!("find {package} in its package"))?;
        step::note(&format!("{name}: {}", program.display()));
        Ok(program)
    }

    fn root(&self) -> PathBuf {
        workspace::scratch().join(self.package)
    }
}
