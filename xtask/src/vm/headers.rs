//! Kernel headers and build tools to build modules for a guest's kernel.
//!
//! They are Debian's packages for exactly this kernel, downloaded once and unpacked below `target/xtask`, not installed.
//! Modules are compiled with the host's gcc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernels::{self, Kernel};
use crate::archive::Archive;
use crate::{step, toolchain};

const PROGRAMS: [&str; 2] = ["make", "gcc"];

/// Unpacked headers.
pub(super) struct Headers {
    /// Tree of the kernel flavour: configuration and generated headers.
    pub(super) tree: PathBuf,
    /// Tree common to all flavours: header sources.
    pub(super) common: PathBuf,
}

impl Headers {
    /// The headers of a kernel, downloaded on first use. `None` if no suite has them any more.
    pub(super) fn of(kernel: &Kernel) -> anyhow::Result<Option<Self>> {
        for program in PROGRAMS {
            toolchain::in_path(program)
                .with_context(|| format!("find {program} in PATH; run: cargo xtask setup --tests"))?;
        }
        let dir = kernel.dir().join("headers");
        if !dir.is_dir() && !fetch(kernel, &dir)? {
            return Ok(None);
        }
        let tree = dir.join("usr/src").join(package(&kernel.name()));
        let common = redirect_include(&dir, &tree)?;
        Ok(Some(Self { tree, common }))
    }

    /// Builds the modules in `dir` with additional arguments for make.
    pub(super) fn build(&self, what: &str, dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let mut make = Command::new("make");
        make.arg("-C").arg(&self.tree).arg(format!("M={}", dir.display()));
        make.args(VARIABLES).args(arguments).arg("modules").env_remove("MAKEFLAGS");
        step::run(what, &mut make)
    }
}

/// Debian's makefiles name a compiler with a version. BTF for modules is disabled because it needs pahole.
pub(super) const VARIABLES: [&str; 2] = ["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES="];

fn package(kernel: &str) -> String {
    format!("linux-headers-{kernel}")
}

/// Unpacks a kernel's headers and their dependencies into `into`. Returns false if no suite has them.
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
        let is_for_modules =
            |name: &&String| name.starts_with("linux-headers-") || name.starts_with("linux-kbuild-");
        let mut packages = vec![package.as_str()];
        packages.extend(needed.iter().filter(is_for_modules).map(String::as_str));
        let unpacked = into.with_extension("part");
        archive.unpack(&packages, &unpacked)?;
        fs::rename(&unpacked, into).with_context(|| format!("move {}", unpacked.display()))?;
        return Ok(true);
    }
    Ok(false)
}

/// Changes the Makefile of the flavour tree, which includes the common tree at its installed path, to include the unpacked
/// common tree. Returns the common tree.
fn redirect_include(headers: &Path, tree: &Path) -> anyhow::Result<PathBuf> {
    let path = tree.join("Makefile");
    let makefile = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let common =
        common(&makefile, headers).with_context(|| format!("find the include in {}", path.display()))?;
    fs::write(&path, format!("include {}\n", common.display()))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(common.parent().map(Path::to_owned).unwrap_or_default())
}

/// The path of the common Makefile below `headers`.
fn common(makefile: &str, headers: &Path) -> Option<PathBuf> {
    let included = makefile.lines().find_map(|line| line.strip_prefix("include "))?;
    let at = included.find("usr/src/linux-headers-")?;
    Some(headers.join(&included[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_include_is_redirected_to_the_unpacked_common_tree() {
        let headers = Path::new("/t/headers");
        let expected = Path::new("/t/headers/usr/src/linux-headers-6.1.0-56-common/Makefile");
        for prefix in ["", "/old"] {
            let makefile = format!("include {prefix}/usr/src/linux-headers-6.1.0-56-common/Makefile\n");
            assert_eq!(common(&makefile, headers).as_deref(), Some(expected), "{makefile}");
        }
        assert_eq!(common("all:\n", headers), None);
    }
}
