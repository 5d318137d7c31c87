//! The initramfs of a guest: init, the test binary, programs, their shared libraries, busybox, mkfs.ext4 and kernel modules.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::cpio::Archive;
use crate::toolchain;

/// Files of the guest.
pub(super) struct Content<'a> {
    /// `/init`, process 1.
    pub(super) init: &'a Path,
    /// `/tests`, which init runs.
    pub(super) tests: &'a Path,
    /// Other programs and libraries with their paths in the guest.
    pub(super) programs: &'a [(&'a str, &'a Path)],
    /// Modules with their paths in the guest. The paths contain the kernel's name, by which init finds its modules.
    pub(super) modules: &'a [(String, PathBuf)],
}

/// Writes an initramfs to the file `into`. It is not compressed because decompression is slow on an emulated CPU.
pub(super) fn pack(content: &Content<'_>, into: &Path) -> anyhow::Result<()> {
    let busybox =
        toolchain::in_path("busybox").context("find busybox in PATH; run: cargo xtask setup --tests")?;
    let file = File::create(into).with_context(|| format!("create {}", into.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    let mut libraries = BTreeSet::new();
    let strip = into.with_extension("stripped");
    let mkfs =
        toolchain::in_path("mkfs.ext4").context("find mkfs.ext4 in PATH; run: cargo xtask setup --tests")?;
    let binaries: [(&str, &Path); 4] = [
        ("/init", content.init),
        ("/tests", content.tests),
        ("/bin/busybox", &busybox),
        ("/bin/mkfs.ext4", &mkfs),
    ];
    for &(path, binary) in binaries.iter().chain(content.programs) {
        libraries.extend(libraries_of(binary)?);
        archive.file(path, &without_debug_information(binary, &strip)?)?;
    }
    for library in libraries {
        let bytes = fs::read(&library).with_context(|| format!("read {}", library.display()))?;
        archive.file(&library.to_string_lossy(), &bytes)?;
    }
    for (path, module) in content.modules {
        archive.file(path, &without_debug_information(module, &strip)?)?;
    }
    archive.link("/bin/sh", "busybox")?;
    archive.file("/etc/mtab", b"")?;
    for directory in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var"] {
        archive.directory(directory)?;
    }
    archive.finish().with_context(|| format!("write {}", into.display()))?;
    Ok(())
}

/// Strips debug information, which makes a test binary ten times as large. Guest memory holds every file twice during
/// unpacking.
pub(super) fn without_debug_information(binary: &Path, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let stripped = Command::new("strip").args(["--strip-debug", "-o"]).arg(scratch).arg(binary).status();
    let source = if stripped.is_ok_and(|status| status.success()) { scratch } else { binary };
    let bytes = fs::read(source).with_context(|| format!("read {}", source.display()))?;
    if source == scratch {
        fs::remove_file(scratch).with_context(|| format!("remove {}", scratch.display()))?;
    }
    Ok(bytes)
}

/// The shared libraries of a binary; empty if it is static. ldd may execute the binary, so only for trusted binaries.
fn libraries_of(binary: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").env("LC_ALL", "C").arg(binary).output().context("run ldd")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(errors.contains("not a dynamic executable"), "ldd {}: {errors}", binary.display());
        return Ok(Vec::new());
    }
    parse_libraries(&String::from_utf8_lossy(&output.stdout))
}

fn parse_libraries(ldd: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in ldd.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, "=>", "not", "found"] => bail!("find the shared library {name}"),
            [_, "=>", path, _] => libraries.push(PathBuf::from(path)),
            // The loader. The vDSO has no path.
            [path, _] if path.starts_with('/') => libraries.push(PathBuf::from(path)),
            _ => {}
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_all_libraries_with_a_file_are_packed() {
        let ldd = "\
\tlinux-vdso.so.1 (0x00007ffd)
\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f1)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3)
";
        let expected = [
            "/lib/x86_64-linux-gnu/libgcc_s.so.1",
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse_libraries(ldd).unwrap(), expected.map(PathBuf::from));
    }

    #[test]
    fn a_missing_library_is_an_error_before_the_guest_boots() {
        let error = parse_libraries("\tlibnvidia.so.1 => not found\n").unwrap_err();
        assert_eq!(error.to_string(), "find the shared library libnvidia.so.1");
    }
}
