//! The modules that stand in for the NVIDIA driver, `tests/nvidia-module`, built for a guest's kernel: nvidia-uvm, and nvidia
//! twice, once with the names that functions had before 545.23.06.
//!
//! With the headers and the build programs that Debian offers for exactly that kernel, downloaded once and unpacked,
//! never installed, and with this host's gcc: a build takes some six seconds, and none if nothing has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernels::{self, Kernel};
use crate::archive::Archive;
use crate::{step, toolchain, workspace};

/// Where the sources are, from the repository's root.
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
const PROGRAMS: [&str; 2] = ["make", "gcc"];

/// One run of make.
struct Build {
    directory: &'static str,
    argument: &'static str,
    /// The files that are taken, each with its name in a guest.
    modules: &'static [(&'static str, &'static str)],
}

/// Builds the modules for a kernel and returns them by their names in a guest; `None` if that kernel's headers are not
/// offered any more.
pub(super) fn build(kernel: &Kernel) -> anyhow::Result<Option<Vec<(String, PathBuf)>>> {
    for program in PROGRAMS {
        toolchain::in_path(program)
            .with_context(|| format!("find {program}: `cargo xtask setup --tests`"))?;
    }
    let headers = kernel.dir().join("headers");
    if !headers.is_dir() && !fetch(kernel, &headers)? {
        return Ok(None);
    }
    let tree = headers.join("usr/src").join(package(&kernel.name()));
    point_at(&headers, &tree)?;
    let builds = BUILDS.iter().map(|build| {
        let output = kernel.dir().join(build.directory);
        build_in(&output, &tree, build.argument, kernel)?;
        take(&output, build.modules)
    });
    let modules: Vec<_> = builds.collect::<anyhow::Result<_>>()?;
    Ok(Some(modules.concat()))
}

fn build_in(output: &Path, tree: &Path, argument: &str, kernel: &Kernel) -> anyhow::Result<()> {
    copy(&workspace::root().join(SOURCES), output)?;
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).arg(format!("M={}", output.display())).arg(argument);
    // Debian's own compiler has a version in its name. Type information for modules needs pahole, and nobody reads it.
    make.args(["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]).env_remove("MAKEFLAGS");
    step::run(&format!("build the NVIDIA stand-in for {}, {argument}", kernel.name()), &mut make)
}

/// The modules that a build left, by their names in a guest.
fn take(output: &Path, modules: &[(&str, &str)]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let take = |(file, name): &(&str, &str)| {
        let module = output.join(file);
        anyhow::ensure!(module.is_file(), "build the NVIDIA stand-in: make left no {}", module.display());
        Ok(((*name).to_owned(), module))
    };
    modules.iter().map(take).collect()
}

fn package(kernel: &str) -> String {
    format!("linux-headers-{kernel}")
}

/// Unpacks a kernel's headers and what they need into `into`; false where no suite has them.
fn fetch(kernel: &Kernel, into: &Path) -> anyhow::Result<bool> {
    let package = package(&kernel.name());
    for suite in kernels::suites(&kernel.series) {
        let Some(archive) = Archive::open(suite)? else {
            continue;
        };
        let needed = archive.dependencies(&package)?;
        if needed.is_empty() {
            continue;
        }
        let ours = |name: &&String| name.starts_with("linux-headers-") || name.starts_with("linux-kbuild-");
        let mut packages = vec![package.as_str()];
        packages.extend(needed.iter().filter(ours).map(String::as_str));
        let unpacked = into.with_extension("part");
        archive.unpack(&packages, &unpacked)?;
        fs::rename(&unpacked, into).with_context(|| format!("move {}", unpacked.display()))?;
        return Ok(true);
    }
    Ok(false)
}

/// The Makefile of a kernel's headers includes that of its flavours' common ones by the path of an installation.
fn point_at(headers: &Path, tree: &Path) -> anyhow::Result<()> {
    let path = tree.join("Makefile");
    let makefile = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let moved =
        moved(&makefile, headers).with_context(|| format!("find the include in {}", path.display()))?;
    fs::write(&path, moved).with_context(|| format!("write {}", path.display()))
}

fn moved(makefile: &str, headers: &Path) -> Option<String> {
    let included = makefile.lines().find_map(|line| line.strip_prefix("include "))?;
    let at = included.find("/usr/src/linux-headers-")?;
    Some(format!("include {}{}\n", headers.display(), &included[at..]))
}

/// Copies the sources that have changed: make goes by their dates.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
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
    fn headers_that_are_not_installed_find_their_common_part_wherever_they_are() {
        let headers = Path::new("/t/headers");
        let expected = "include /t/headers/usr/src/linux-headers-6.1.0-56-common/Makefile\n";
        let installed = "include /usr/src/linux-headers-6.1.0-56-common/Makefile\n";
        assert_eq!(moved(installed, headers).as_deref(), Some(expected));
        let already_moved = "include /old/usr/src/linux-headers-6.1.0-56-common/Makefile\n";
        assert_eq!(moved(already_moved, headers).as_deref(), Some(expected));
        assert_eq!(moved("all:\n", headers), None);
    }

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
