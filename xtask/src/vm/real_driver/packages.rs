//! Debian's packages of the NVIDIA driver.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::archive::Archive;
use crate::workspace;

/// A driver branch that Debian packages.
#[derive(Debug)]
pub(super) struct Branch {
    /// Major version of the releases.
    pub(super) name: &'static str,
    /// Debian suite with the packages.
    pub(super) suite: &'static str,
}

/// All branches, oldest first.
pub(super) const BRANCHES: [Branch; 2] =
    [Branch { name: "535", suite: "bookworm" }, Branch { name: "550", suite: "trixie" }];

/// Flavour of the kernel modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Open modules: MIT or GPL-2.
    Open,
    /// Proprietary modules: NVIDIA's licence.
    Proprietary,
}

impl Flavour {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Proprietary => "proprietary",
        }
    }

    /// The package with the sources of the modules.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Open => "nvidia-open-kernel-dkms",
            Self::Proprietary => "nvidia-kernel-dkms",
        }
    }

    /// Component of Debian's archive with the package.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::Open => "contrib",
            Self::Proprietary => "non-free",
        }
    }
}

/// Non-free programs and libraries: package, prefix of the file name, path in the guest.
const USER_SPACE: [(&str, &str, &str); 3] = [
    ("libcuda1", "libcuda.so.", "/usr/lib/x86_64-linux-gnu/libcuda.so.1"),
    ("libnvidia-ml1", "libnvidia-ml.so.", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"),
    ("nvidia-smi", "nvidia-smi", "/bin/nvidia-smi"),
];

/// Directory for all files of the driver.
pub(super) fn dir() -> PathBuf {
    workspace::scratch().join("vm/real-driver")
}

/// Unpacks packages of a branch into `into` and returns their version. `None` if the mirror does not have the branch.
pub(super) fn unpack(
    branch: &Branch,
    component: &str,
    packages: &[&str],
    into: &Path,
) -> anyhow::Result<Option<String>> {
    let Some(archive) = Archive::open_component(branch.suite, component)? else {
        return Ok(None);
    };
    let Some(version) =
        packages.first().and_then(|package| archive.version(package).transpose()).transpose()?
    else {
        return Ok(None);
    };
    if !version.starts_with(&format!("{}.", branch.name)) {
        return Ok(None);
    }
    archive.unpack(packages, into)?;
    Ok(Some(version))
}

/// User-space files of a branch with their paths in the guest. `None` if the mirror does not have them.
pub(super) fn user_space(branch: &Branch) -> anyhow::Result<Option<Vec<(&'static str, PathBuf)>>> {
    let dir = dir().join(format!("{}-user-space", branch.name));
    if !dir.is_dir() {
        let part = dir.with_extension("part");
        let packages = USER_SPACE.map(|(package, ..)| package);
        if unpack(branch, "non-free", &packages, &part)?.is_none() {
            return Ok(None);
        }
        fs::rename(&part, &dir).with_context(|| format!("move {}", part.display()))?;
    }
    let found = USER_SPACE.into_iter().map(|(package, prefix, path)| {
        let file = find(&dir, prefix)?.with_context(|| format!("find {prefix}* in {package}"))?;
        Ok((path, file))
    });
    found.collect::<anyhow::Result<_>>().map(Some)
}

/// The largest regular file below `dir` with this name prefix. The largest, because a wrapper script may have the same name.
fn find(dir: &Path, prefix: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut pending = vec![dir.to_owned()];
    let mut found = None;
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?.flatten() {
            let metadata = fs::symlink_metadata(entry.path())
                .with_context(|| format!("read the metadata of {:?}", entry.path()))?;
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.is_file() && entry.file_name().to_string_lossy().starts_with(prefix) {
                found = found.max(Some((metadata.len(), entry.path())));
            }
        }
    }
    Ok(found.map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_among_links_and_smaller_files() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("usr/lib/current/libcuda.so.535.261.03");
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::write(&library, "a library").unwrap();
        fs::write(dir.path().join("usr/libcuda.so.txt"), "no").unwrap();
        std::os::unix::fs::symlink(&library, dir.path().join("usr/libcuda.so.1")).unwrap();
        assert_eq!(find(dir.path(), "libcuda.so.").unwrap(), Some(library));
        assert_eq!(find(dir.path(), "libnvidia-ml.so.").unwrap(), None);
    }
}
