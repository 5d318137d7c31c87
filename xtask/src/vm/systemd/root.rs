//! The root file system of the guest: Debian's packages, unpacked but not configured.
//!
//! dpkg's database lists the packages as installed, so that dpkg can install others that depend on them. Their maintainer
//! scripts do not run: the guest needs neither users nor caches that they create, and only one of their links.

use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::super::cpio::Archive;
use crate::archive;
use crate::child::{self, Limits};
use crate::{debian, step, workspace};

/// Debian 12.
pub(super) const SUITE: &str = "bookworm";
/// What a minimal Debian with systemd consists of. usr-is-merged replaces usrmerge, which depends on Perl's modules.
const PACKAGES: [&str; 20] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mount",
    "perl-base",
    "procps",
    "sed",
    "systemd-sysv",
    "tar",
    "usr-is-merged",
    "util-linux",
];
/// Not needed in a guest, and unpacked into its memory.
const EXCLUDED: [&str; 5] =
    ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/i18n", "usr/share/zoneinfo"];
/// Directories of a merged /usr.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
/// Increased when this module makes another file system from the same packages.
const VERSION: u32 = 2;

/// The root file system as an initramfs; downloaded and packed on first use. `None` if no mirror has the suite.
pub(super) fn fetch() -> anyhow::Result<Option<PathBuf>> {
    let dir = workspace::scratch().join("vm/systemd");
    let packed = dir.join(format!("{SUITE}.cpio"));
    let (list, wanted) = (dir.join("packages.txt"), format!("{VERSION}\n{}", PACKAGES.join("\n")));
    if packed.is_file() && fs::read_to_string(&list).is_ok_and(|found| found == wanted) {
        return Ok(Some(packed));
    }
    let Some(suite) = archive::Archive::open(SUITE)? else { return Ok(None) };
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let downloads = dir.join("packages");
    suite.download_with_dependencies(&PACKAGES, &downloads)?;
    let root = dir.join("root");
    unpack(&downloads, &root)?;
    let part = packed.with_extension("part");
    pack(&root, &part).with_context(|| format!("pack {}", root.display()))?;
    for used in [&downloads, &root] {
        fs::remove_dir_all(used).with_context(|| format!("remove {}", used.display()))?;
    }
    fs::rename(&part, &packed).with_context(|| format!("move {}", part.display()))?;
    fs::write(&list, wanted).with_context(|| format!("write {}", list.display()))?;
    Ok(Some(packed))
}

/// Unpacks all packages in `downloads` into `root`, and writes dpkg's database.
fn unpack(downloads: &Path, root: &Path) -> anyhow::Result<()> {
    debian::make_empty_dir(root)?;
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name)).context("create /usr")?;
        symlink(format!("usr/{name}"), root.join(name)).with_context(|| format!("link /{name}"))?;
    }
    let database = root.join("var/lib/dpkg");
    for directory in ["info", "updates", "triggers"] {
        fs::create_dir_all(database.join(directory)).context("create dpkg's database")?;
    }
    let mut archives: Vec<_> = fs::read_dir(downloads)
        .with_context(|| format!("read {}", downloads.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    archives.sort();
    step::note(&format!("unpack {} packages for the guest with systemd", archives.len()));
    let mut status = String::new();
    for package in &archives {
        extract(package, root)?;
        let control = child::output(Command::new("dpkg-deb").arg("--field").arg(package), Limits::NONE)?;
        status += &installed(&control);
        let name = control.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap_or_default();
        fs::write(database.join(format!("info/{name}.list")), "/.\n").context("write dpkg's database")?;
    }
    fs::write(database.join("status"), status).context("write dpkg's database")?;
    for name in ["passwd", "group"] {
        let from = root.join(format!("usr/share/base-passwd/{name}.master"));
        fs::copy(&from, root.join("etc").join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    // As base-files' postinst does: a link instead of the directory.
    let run = root.join("var/run");
    fs::remove_dir(&run).and_then(|()| symlink("../run", &run)).context("link /var/run")?;
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n")
        .context("write the machine's ID")
}

/// Unpacks one package.
fn extract(package: &Path, root: &Path) -> anyhow::Result<()> {
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("run dpkg-deb")?;
    let files = reader.stdout.take().context("read the files of a package")?;
    let mut tar = Command::new("tar");
    // Packages have files in /bin and /lib, which are links.
    tar.arg("--directory").arg(root).args(["--extract", "--file=-", "--keep-directory-symlink"]);
    tar.args(EXCLUDED.map(|path| format!("--exclude=./{path}")));
    let status = tar.stdin(files).status().context("run tar")?;
    let read = reader.wait().context("wait for dpkg-deb")?;
    anyhow::ensure!(status.success() && read.success(), "unpack {}: {status}, {read}", package.display());
    Ok(())
}

/// The entry of dpkg's database for an installed package.
fn installed(control: &str) -> String {
    let mut entry = String::new();
    for line in control.lines() {
        entry += line;
        entry.push('\n');
        if line.starts_with("Package: ") {
            entry += "Status: install ok installed\n";
        }
    }
    entry.push('\n');
    entry
}

fn pack(root: &Path, into: &Path) -> anyhow::Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(into)?));
    archive.tree(root)?;
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_listed_as_installed() {
        let control =
            "Package: dpkg\nVersion: 1.21.22\nDescription: Debian package management system\n more text\n";
        assert_eq!(
            installed(control),
            "Package: dpkg\nStatus: install ok installed\nVersion: 1.21.22\n\
             Description: Debian package management system\n more text\n\n"
        );
    }
}
