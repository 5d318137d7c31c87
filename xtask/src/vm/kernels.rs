//! Debian kernels for guests, downloaded and unpacked, not installed.
//!
//! A downloaded kernel is used until its directory is deleted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::archive::Archive;
use crate::{debian, workspace};

/// Debian's flavour for virtual machines. It has all drivers built in that a guest needs to boot.
const FLAVOUR: &str = "-cloud-amd64";
/// Suites of each kernel series. Security suites come first: they have the newest kernels and small package lists.
const SUITES: [(&str, &[&str]); 3] = [
    ("5.10", &["bullseye-security", "bullseye"]),
    ("6.1", &["bookworm-security", "bookworm"]),
    ("6.12", &["bookworm-security", "trixie-security", "trixie"]),
];
/// Suites for all other series.
const NEWER: &[&str] = &["trixie-backports", "forky", "sid"];

/// A downloaded kernel.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Requested series, such as `6.1`.
    pub(crate) series: String,
    /// Release in the package name, such as `6.1.0-56`.
    pub(crate) release: String,
    /// The bootable image.
    pub(crate) image: PathBuf,
}

impl Kernel {
    /// Release that `uname -r` prints, such as `6.1.0-56-cloud-amd64`.
    pub(crate) fn name(&self) -> String {
        format!("{}{FLAVOUR}", self.release)
    }

    /// The directory for the kernel and everything built for it. It is emptied when a new kernel of the series is downloaded.
    pub(crate) fn dir(&self) -> PathBuf {
        dir(&self.series)
    }
}

fn dir(series: &str) -> PathBuf {
    workspace::scratch().join("vm/kernels").join(series)
}

/// Debian suites that may have the kernels of a series.
pub(crate) fn suites(series: &str) -> &'static [&'static str] {
    SUITES.iter().find(|(name, _)| *name == series).map_or(NEWER, |(_, suites)| suites)
}

/// The kernel of a series. If none was downloaded before, downloads the newest one.
pub(crate) fn fetch(series: &str) -> anyhow::Result<Kernel> {
    if !series.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        bail!("{series:?} is not a kernel series such as 6.1");
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
            fs::write(dir.join("release"), release).context("write the kernel's release")?;
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

/// The newest release among package names. Releases are compared by their numbers.
fn newest(packages: &[String]) -> Option<&str> {
    let releases =
        packages.iter().filter_map(|name| name.strip_prefix("linux-image-")?.strip_suffix(FLAVOUR));
    releases.max_by_key(|release| numbers(release))
}

fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Downloads the image of a release to `into/vmlinuz`.
fn unpack(archive: &Archive, release: &str, into: &Path) -> anyhow::Result<PathBuf> {
    // Linux 7.0 and later have the image in a separate package.
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
    fn releases_are_compared_by_their_numbers() {
        let names =
            ["linux-image-6.12.99+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64", "other"];
        assert_eq!(newest(&names.map(str::to_owned)), Some("6.12.117+deb12"));
        let names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"];
        assert_eq!(newest(&names.map(str::to_owned)), Some("6.1.0-56"));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn an_invalid_series_is_rejected_before_it_is_used_as_a_path() {
        for series in ["../etc", "6..1", "", "6.x"] {
            assert!(fetch(series).unwrap_err().to_string().contains("not a kernel series"), "{series:?}");
        }
    }
}
