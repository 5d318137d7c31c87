//! Kernel modules for disk tests in guests: loop devices, ext4 with project quotas, overlayfs. They come from the kernel's
//! package, which is downloaded again and unpacked but not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernels::{self, Kernel};
use crate::archive::Archive;
use crate::{debian, step};

/// Modules in load order. Some kernels have some of them built in.
const MODULES: [&str; 10] = [
    "crc16",
    "crc32c_generic",
    "libcrc32c",
    "mbcache",
    "jbd2",
    "ext4",
    "quota_tree",
    "quota_v2",
    "loop",
    "overlay",
];

/// The modules of a kernel in load order; empty if no suite has the kernel's package any more.
pub(super) fn find(kernel: &Kernel) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let dir = kernel.dir().join("filesystems");
    if !dir.is_dir() && !fetch(kernel, &dir)? {
        return Ok(Vec::new());
    }
    let found = MODULES.iter().enumerate().map(|(order, name)| (format!("{order}-{name}.ko"), name));
    let found = found.map(|(file, name)| (file, dir.join(format!("{name}.ko"))));
    Ok(found.filter(|(_, path)| path.is_file()).collect())
}

fn fetch(kernel: &Kernel, into: &Path) -> anyhow::Result<bool> {
    for suite in kernels::suites(&kernel.series) {
        let Some(archive) = Archive::open(suite)? else {
            continue;
        };
        // Linux 7.0 and later have modules in a separate package.
        let names = ["modules", "image"].map(|part| format!("linux-{part}-{}", kernel.name()));
        for package in names {
            if archive.dependencies(&package)?.is_empty() {
                continue;
            }
            let unpacked = into.with_extension("part");
            archive.unpack(&[&package], &unpacked)?;
            if extract(&unpacked, into)? > 0 {
                return debian::make_empty_dir(&unpacked).map(|()| true);
            }
        }
    }
    Ok(false)
}

/// Moves the modules out of an unpacked package and returns their number.
fn extract(unpacked: &Path, into: &Path) -> anyhow::Result<usize> {
    let mut pending = vec![unpacked.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in
            fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?.flatten()
        {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            } else if let Some(name) = module(&path) {
                found.push((name, path));
            }
        }
    }
    if found.is_empty() {
        return Ok(0);
    }
    let part = into.with_extension("new");
    debian::make_empty_dir(&part)?;
    for (name, path) in &found {
        if path.extension().is_some_and(|extension| extension == "xz") {
            step::run(&format!("unpack {name}"), Command::new("xz").arg("--decompress").arg(path))?;
        }
        let plain = path.with_file_name(format!("{name}.ko"));
        fs::rename(&plain, part.join(format!("{name}.ko")))
            .with_context(|| format!("move {}", plain.display()))?;
    }
    fs::rename(&part, into).with_context(|| format!("move {}", part.display()))?;
    Ok(found.len())
}

/// The entry of `MODULES` for a file.
fn module(path: &Path) -> Option<&'static str> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))?;
    MODULES.into_iter().find(|module| *module == name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_any_directory_of_the_package() {
        let unpacked = tempfile::tempdir().unwrap();
        for path in ["lib/modules/6.1/kernel/fs/ext4/ext4.ko", "lib/modules/6.1/kernel/fs/nfs/nfs.ko"] {
            let path = unpacked.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a module").unwrap();
        }
        let into = unpacked.path().join("found");
        assert_eq!(extract(unpacked.path(), &into).unwrap(), 1);
        assert!(into.join("ext4.ko").is_file());
        assert_eq!(extract(&unpacked.path().join("lib/modules/6.1/kernel/fs/nfs"), &into).unwrap(), 0);
    }

    #[test]
    fn compressed_modules_are_found_and_other_files_are_ignored() {
        assert_eq!(module(Path::new("/k/drivers/block/loop.ko.xz")), Some("loop"));
        assert_eq!(module(Path::new("/k/crypto/crc32c-generic.ko")), Some("crc32c_generic"));
        for other in ["/k/fs/ext4/ext4.ko.sig", "/k/fs/nfs/nfs.ko", "/k/loop", "/"] {
            assert_eq!(module(Path::new(other)), None, "{other}");
        }
    }
}
