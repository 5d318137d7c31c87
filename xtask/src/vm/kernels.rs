//! Debian's kernels for virtual machines: found in the archive's suites, downloaded and unpacked, never installed.
//!
//! A kernel that was fetched once is used until its folder goes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::archive::Archive;
use crate::{debian, workspace};

/// Debian's flavour for virtual machines, which has built in what a guest needs to boot.
const FLAVOUR: &str = "-cloud-amd64";
/// Where each kernel series is found. Security suites go first: newest, and their indexes are small.
const SUITES: [(&str, &[&str]); 3] = [
    ("5.10", &["bullseye-security", "bullseye"]),
    ("6.1", &["bookworm-security", "bookworm"]),
    ("6.12", &["bookworm-security", "trixie-security", "trixie"]),
];
/// Where any other series may be.
const NEWER: &[&str] = &["trixie-backports", "forky", "sid"];

/// A kernel on this machine's disk.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// What was asked for, such as `6.1`.
    pub(crate) series: String,
    /// What the package calls it, such as `6.1.0-56`.
    pub(crate) release: String,
    /// The bootable image.
    pub(crate) image: PathBuf,
}

impl Kernel {
    /// What the kernel calls itself, such as `6.1.0-56-cloud-amd64`.
    pub(crate) fn name(&self) -> String {
        format!("{}{FLAVOUR}", self.release)
    }

    /// Where all that belongs to it is kept; emptied when the series gets another kernel.
    pub(crate) fn dir(&self) -> PathBuf {
        dir(&self.series)
    }
}

fn dir(series: &str) -> PathBuf {
    workspace::scratch().join("vm/kernels").join(series)
}

/// Debian's suites that may have the kernels of a series.
pub(crate) fn suites(series: &str) -> &'static [&'static str] {
    SUITES.iter().find(|(name, _)| *name == series).map_or(NEWER, |(_, suites)| suites)
}

/// Finds the kernel of a series, downloading the newest there is if none was yet.
pub(crate) fn fetch(series: &str) -> anyhow::Result<Kernel> {
    if !series.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        bail!("{series:?} is no kernel series such as 6.1");
    }
    let dir = dir(series);
    if let Some(kernel) = cached(series, &dir) {
        return Ok(kernel);
    }
    let suites = suites(series);
    for suite in suites {
        let Some(archive) = Archive::open(suite)? else {
            continue;
        };
        let offered = archive.search(&format!("^linux-image-{series}[.].*{FLAVOUR}$"))?;
        if let Some(release) = newest(&offered) {
            let unpacked = unpack(&archive, release, &dir)?;
            fs::write(dir.join("release"), release).context("note the kernel's release")?;
            return Ok(Kernel { series: series.to_owned(), release: release.to_owned(), image: unpacked });
        }
    }
    bail!("find a kernel {series} in Debian's {}", suites.join(", "))
}

fn cached(series: &str, dir: &Path) -> Option<Kernel> {
    let release = fs::read_to_string(dir.join("release")).ok()?;
    let image = dir.join("vmlinuz");
    image.is_file().then(|| Kernel { series: series.to_owned(), release, image })
}

/// The newest release among package names, by the numbers in them.
fn newest(packages: &[String]) -> Option<&str> {
    let releases =
        packages.iter().filter_map(|name| name.strip_prefix("linux-image-")?.strip_suffix(FLAVOUR));
    releases.max_by_key(|release| numbers(release))
}

fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Puts the image of a release at `into/vmlinuz`.
fn unpack(archive: &Archive, release: &str, into: &Path) -> anyhow::Result<PathBuf> {
    // From 7.x on the image is in a package of its own.
    let apart = archive.search(&format!("^linux-binary-{}{FLAVOUR}$", release.replace('+', "[+]")))?;
    let package = apart.into_iter().next().unwrap_or_else(|| format!("linux-image-{release}{FLAVOUR}"));
    let unpacked = into.join("download");
    debian::make_empty_dir(into)?;
    archive.unpack(&[&package], &unpacked)?;
    let image = into.join("vmlinuz");
    let name = format!("{release}{FLAVOUR}");
    let places = [format!("boot/vmlinuz-{name}"), format!("usr/lib/modules/{name}/vmlinuz")];
    let found = places.iter().map(|place| unpacked.join(place)).find(|place| place.is_file());
    let found = found.with_context(|| format!("find a bootable image in {package}"))?;
    fs::rename(&found, &image).with_context(|| format!("move {}", found.display()))?;
    fs::remove_dir_all(&unpacked).context("remove the unpacked package")?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_is_the_one_with_the_greatest_numbers() {
        let names =
            ["linux-image-6.12.99+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64", "other"];
        assert_eq!(newest(&names.map(str::to_owned)), Some("6.12.117+deb12"));
        let names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"];
        assert_eq!(newest(&names.map(str::to_owned)), Some("6.1.0-56"));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn a_series_that_is_none_is_refused_before_it_becomes_a_path() {
        for series in ["../etc", "6..1", "", "6.x"] {
            assert!(fetch(series).unwrap_err().to_string().contains("no kernel series"), "{series:?}");
        }
    }
}
