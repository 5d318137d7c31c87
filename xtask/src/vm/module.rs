//! The stand-in for the NVIDIA driver, `tests/nvidia-module`, built for a guest's kernel.
//!
//! With the headers and the build programs that Debian offers for exactly that kernel, downloaded once and unpacked,
//! never installed, and with this host's gcc: a build takes some three seconds, and none where nothing has changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::headers::Headers;
use super::kernels::Kernel;
use crate::workspace;

/// Where the sources are, from the repository's root.
const SOURCES: &str = "tests/nvidia-module";
const FILE: &str = "nvidia.ko";

/// Builds the module for a kernel; `None` where nobody offers that kernel's headers any more.
pub(super) fn build(kernel: &Kernel) -> anyhow::Result<Option<PathBuf>> {
    let Some(headers) = Headers::of(kernel)? else {
        return Ok(None);
    };
    let output = kernel.dir().join("module");
    copy(&workspace::root().join(SOURCES), &output)?;
    headers.build(&format!("build the NVIDIA stand-in for {}", kernel.name()), &output)?;
    let module = output.join(FILE);
    anyhow::ensure!(module.is_file(), "build the NVIDIA stand-in: make left no {}", module.display());
    Ok(Some(module))
}

/// Copies the sources that have changed: make goes by their dates.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))?.flatten() {
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        let content = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        if fs::read(&copy).ok().as_ref() != Some(&content) {
            fs::write(&copy, content).with_context(|| format!("write {}", copy.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_copied_only_when_it_has_changed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("a.c"), "1").unwrap();
        copy(from.path(), to.path()).unwrap();
        let date = || fs::metadata(to.path().join("a.c")).unwrap().modified().unwrap();
        let first = date();
        copy(from.path(), to.path()).unwrap();
        assert_eq!(date(), first);
        fs::write(from.path().join("a.c"), "2").unwrap();
        copy(from.path(), to.path()).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("a.c")).unwrap(), "2");
    }
}
