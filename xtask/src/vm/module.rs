//! The fake NVIDIA driver (`tests/nvidia-module`), built for a guest's kernel: nvidia-uvm, and two variants of nvidia. The
//! second variant has the function names of drivers before 545.23.06.
//!
//! A build takes six seconds; make skips it if no source has changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::headers::Headers;
use super::kernels::Kernel;
use crate::workspace;

/// Sources, relative to the root of the repository.
const SOURCES: &str = "tests/nvidia-module";
const BUILDS: [Build; 2] = [
    Build {
        directory: "module",
        argument: "FRONTEND=n",
        modules: &[("nvidia.ko", "nvidia.ko"), ("nvidia-uvm.ko", "nvidia-uvm.ko")],
    },
    Build {
        directory: "module-frontend",
        argument: "FRONTEND=y",
        modules: &[("nvidia.ko", "nvidia-frontend.ko")],
    },
];

/// One run of make.
struct Build {
    directory: &'static str,
    argument: &'static str,
    /// Built files with their names in a guest.
    modules: &'static [(&'static str, &'static str)],
}

/// Builds the modules for a kernel and returns them with their names in a guest. `None` if the kernel's headers are not
/// available any more.
pub(super) fn build(kernel: &Kernel) -> anyhow::Result<Option<Vec<(String, PathBuf)>>> {
    let Some(headers) = Headers::of(kernel)? else {
        return Ok(None);
    };
    let builds = BUILDS.iter().map(|build| {
        let output = kernel.dir().join(build.directory);
        copy(&workspace::root().join(SOURCES), &output)?;
        let what = format!("build the fake NVIDIA driver for {}, {}", kernel.name(), build.argument);
        headers.build(&what, &output, &[build.argument])?;
        modules_of(&output, build.modules)
    });
    let modules: Vec<_> = builds.collect::<anyhow::Result<_>>()?;
    Ok(Some(modules.concat()))
}

/// The modules of a build with their names in a guest.
fn modules_of(output: &Path, modules: &[(&str, &str)]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let find = |(file, name): &(&str, &str)| {
        let module = output.join(file);
        anyhow::ensure!(
            module.is_file(),
            "build the fake NVIDIA driver: make did not create {}",
            module.display()
        );
        Ok(((*name).to_owned(), module))
    };
    modules.iter().map(find).collect()
}

/// Copies files with changed content only, because make compares modification times.
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
    fn a_source_is_copied_only_if_its_content_has_changed() {
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
