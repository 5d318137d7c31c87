//! Debian's kernels for virtual machines: found in the archive's suites, downloaded and unpacked, never installed.
//!
//! apt itself fetches and verifies them, with a state of its own below `target/xtask/vm` and with the mirrors and
//! the keys this machine's apt is configured with. A kernel that was fetched once is used until its folder goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::debian::{self, Source};
use crate::{step, workspace};

/// Signs every suite; part of every Debian installation.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
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
#[derive(Debug)]
pub(crate) struct Kernel {
    /// What was asked for, such as `6.1`.
    pub(crate) series: String,
    /// What the package calls it, such as `6.1.0-56`.
    pub(crate) release: String,
    /// The bootable image.
    pub(crate) image: PathBuf,
}

/// Finds the kernel of a series, downloading the newest there is if none was yet.
pub(crate) fn fetch(series: &str) -> anyhow::Result<Kernel> {
    if !series.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        bail!("{series:?} is no kernel series such as 6.1");
    }
    let dir = workspace::scratch().join("vm/kernels").join(series);
    if let Some(kernel) = cached(series, &dir) {
        return Ok(kernel);
    }
    anyhow::ensure!(
        debian::distribution().is_some() && Path::new(KEYRING).exists(),
        "kernels come from Debian's archive by apt, and {KEYRING} is not on this machine"
    );
    let sources = debian::sources()?;
    let suites = SUITES.iter().find(|(name, _)| *name == series).map_or(NEWER, |(_, suites)| suites);
    for suite in suites {
        let Some(uri) = mirror(&sources, suite) else {
            continue;
        };
        let archive = Archive::new(uri, suite)?;
        if let Err(error) = archive.update() {
            step::note(&format!("{suite} is not to be had here: {error}"));
            continue;
        }
        let offered = archive.search(&format!("^linux-image-{series}[.].*{FLAVOUR}$"))?;
        if let Some(release) = newest(&offered) {
            let unpacked = archive.unpack(release, &dir)?;
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

/// The configured mirror that has a suite: the one for security updates, or that for the rest.
fn mirror<'a>(sources: &'a [Source], suite: &str) -> Option<&'a str> {
    let security = suite.ends_with("-security");
    let main = |source: &&Source| {
        ["bullseye", "bookworm", "trixie", "forky", "sid", "stable"].contains(&source.suite.as_str())
    };
    let is_match = |source: &&Source| {
        if security { source.suite.ends_with("-security") } else { main(source) }
    };
    sources.iter().find(is_match).map(|source| source.uri.as_str())
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

/// One suite of Debian's archive, with an apt state of its own.
struct Archive {
    dir: PathBuf,
    suite: String,
}

impl Archive {
    fn new(uri: &str, suite: &str) -> anyhow::Result<Self> {
        let dir = workspace::scratch().join("vm/apt").join(suite);
        for needed in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(dir.join(needed)).context("create apt's directories")?;
        }
        let line = format!("deb [signed-by={KEYRING} targets=Packages] {uri} {suite} main\n");
        fs::write(dir.join("sources.list"), line).context("write apt's sources")?;
        Ok(Self { dir, suite: suite.to_owned() })
    }

    /// An apt program that sees this suite and nothing of the machine's state.
    fn apt(&self, program: &str) -> Command {
        let mut command = debian::apt(program);
        let path = |name: &str| self.dir.join(name).display().to_string();
        for option in [
            format!("Dir::State={}", path("")),
            format!("Dir::State::lists={}", path("lists")),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", path("cache")),
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            format!("Dir::Etc::sourceparts={}", path("parts")),
            // Suites that are no longer maintained are signed with a date in the past.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architecture=amd64".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    fn update(&self) -> anyhow::Result<()> {
        step::run(&format!("fetch the package list of {}", self.suite), self.apt("apt-get").arg("update"))
    }

    fn search(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["search", "--names-only", pattern]).stderr(Stdio::null());
        let output = command.output().context("run apt-cache")?;
        let listing = String::from_utf8_lossy(&output.stdout);
        Ok(listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// Puts the image of a release at `into/vmlinuz`.
    fn unpack(&self, release: &str, into: &Path) -> anyhow::Result<PathBuf> {
        // From 7.x on the image is in a package of its own.
        let apart = self.search(&format!("^linux-binary-{}{FLAVOUR}$", release.replace('+', "[+]")))?;
        let package = apart.into_iter().next().unwrap_or_else(|| format!("linux-image-{release}{FLAVOUR}"));
        let download = into.join("download");
        debian::clear(into)?;
        debian::clear(&download)?;
        let mut fetch = self.apt("apt-get");
        step::run(&format!("download {package}"), fetch.current_dir(&download).args(["download", &package]))?;
        let mut extract = Command::new("dpkg");
        extract.arg("--extract").arg(debian::archive(&download)?).arg(&download);
        step::run(&format!("unpack {package}"), &mut extract)?;
        let image = into.join("vmlinuz");
        let name = format!("{release}{FLAVOUR}");
        let places = [format!("boot/vmlinuz-{name}"), format!("usr/lib/modules/{name}/vmlinuz")];
        let found = places.iter().map(|place| download.join(place)).find(|place| place.is_file());
        let found = found.with_context(|| format!("find a bootable image in {package}"))?;
        fs::rename(&found, &image).with_context(|| format!("move {}", found.display()))?;
        fs::remove_dir_all(&download).context("remove the unpacked package")?;
        Ok(image)
    }
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
    fn a_suite_is_looked_for_on_the_mirror_of_its_kind() {
        let source = |uri: &str, suite: &str| Source { uri: uri.into(), suite: suite.into() };
        let sources = [
            source("http://vendor.example", "nodistro"),
            source("http://mirror.example/debian", "bookworm"),
            source("http://mirror.example/security", "bookworm-security"),
        ];
        assert_eq!(mirror(&sources, "bullseye"), Some("http://mirror.example/debian"));
        assert_eq!(mirror(&sources, "bullseye-security"), Some("http://mirror.example/security"));
        assert_eq!(mirror(&sources[..2], "bullseye-security"), None);
    }

    #[test]
    fn a_series_that_is_none_is_refused_before_it_becomes_a_path() {
        for series in ["../etc", "6..1", "", "6.x"] {
            assert!(fetch(series).unwrap_err().to_string().contains("no kernel series"), "{series:?}");
        }
    }
}
