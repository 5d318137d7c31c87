//! Suites of Debian's archive that this machine's apt is not configured with, for older kernels and programs.
//!
//! apt downloads and verifies with its own state below `target/xtask/apt` and with this machine's mirrors and keys. Nothing
//! is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::debian::{self, Source};
use crate::{step, workspace};

/// Keys of all suites. Part of every Debian installation.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite of Debian's archive with its own apt state.
#[derive(Debug)]
pub(crate) struct Archive {
    dir: PathBuf,
    suite: String,
}

impl Archive {
    /// Opens a suite and downloads its package list. If no mirror has the suite, prints a note and returns `None`.
    pub(crate) fn open(suite: &str) -> anyhow::Result<Option<Self>> {
        Self::open_component(suite, "main")
    }

    /// Like [`Archive::open`] for another component than `main`, such as `contrib`. This machine's apt need not be configured
    /// with the component.
    pub(crate) fn open_component(suite: &str, component: &str) -> anyhow::Result<Option<Self>> {
        anyhow::ensure!(
            debian::distribution().is_some() && Path::new(KEYRING).exists(),
            "cannot download from {suite}: this needs apt and {KEYRING}"
        );
        let sources = debian::sources()?;
        let Some(uri) = mirror(&sources, suite) else {
            return Ok(None);
        };
        let archive = Self::new(uri, suite, component)?;
        let update = step::run(
            &format!("download the package list of {suite} {component}"),
            archive.apt("apt-get").arg("update"),
        );
        if let Err(error) = update {
            step::note(&format!("{suite} is not available: {error}"));
            return Ok(None);
        }
        Ok(Some(archive))
    }

    fn new(uri: &str, suite: &str, component: &str) -> anyhow::Result<Self> {
        let name = if component == "main" { suite.to_owned() } else { format!("{suite}-{component}") };
        let dir = workspace::scratch().join("apt").join(name);
        for needed in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(dir.join(needed)).context("create apt's directories")?;
        }
        let line = format!("deb [signed-by={KEYRING} targets=Packages] {uri} {suite} {component}\n");
        fs::write(dir.join("sources.list"), line).context("write apt's sources")?;
        Ok(Self { dir, suite: suite.to_owned() })
    }

    /// An apt program that uses only this suite.
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
            // The signatures of unmaintained suites have expired.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architecture=amd64".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// Packages with names that match a regular expression.
    pub(crate) fn search(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["search", "--names-only", pattern]).stderr(Stdio::null());
        let output = command.output().context("run apt-cache")?;
        let listing = String::from_utf8_lossy(&output.stdout);
        Ok(listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// Dependencies of a package; empty if the suite does not have the package.
    pub(crate) fn dependencies(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["depends", package]).stderr(Stdio::null());
        let output = command.output().context("run apt-cache")?;
        Ok(parse_dependencies(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Version of a package; `None` if the suite does not have it.
    pub(crate) fn version(&self, package: &str) -> anyhow::Result<Option<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["show", "--no-all-versions", package]).stderr(Stdio::null());
        let output = command.output().context("run apt-cache")?;
        let shown = String::from_utf8_lossy(&output.stdout);
        Ok(shown.lines().find_map(|line| line.strip_prefix("Version: ")).map(str::to_owned))
    }

    /// Downloads packages and everything that they depend on into `into`, which is emptied first.
    pub(crate) fn download_with_dependencies(&self, packages: &[&str], into: &Path) -> anyhow::Result<()> {
        debian::make_empty_dir(into)?;
        fs::create_dir(into.join("partial")).context("create apt's directory for downloads")?;
        let mut command = self.apt("apt-get");
        command.arg("-o").arg(format!("Dir::Cache::archives={}", into.display()));
        command.args([
            "-o",
            "Debug::NoLocking=1",
            "install",
            "--yes",
            "--download-only",
            "--no-install-recommends",
        ]);
        let what = format!("download {} packages of {} and their dependencies", packages.len(), self.suite);
        step::run(&what, command.args(packages))
    }

    /// Downloads packages and unpacks them into `into`, which is emptied first.
    pub(crate) fn unpack(&self, packages: &[&str], into: &Path) -> anyhow::Result<()> {
        debian::make_empty_dir(into)?;
        for package in packages {
            let what = format!("download {package} of {}", self.suite);
            step::run(&what, self.apt("apt-get").current_dir(into).args(["download", package]))?;
            let archive = debian::archive(into)?;
            step::run(
                &format!("unpack {package}"),
                Command::new("dpkg").arg("--extract").arg(&archive).arg(into),
            )?;
            fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))?;
        }
        Ok(())
    }
}

fn parse_dependencies(depends: &str) -> Vec<String> {
    let name = |line: &str| line.trim_start().strip_prefix("Depends: ").map(str::to_owned);
    depends.lines().filter_map(name).collect()
}

/// The configured mirror for a suite: the mirror for security updates or the main mirror.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_not_dependencies() {
        let depends = "linux-headers-6.1\n  Depends: linux-kbuild-6.1\n |Depends: linux-image-6.1\n  Depends: <gcc-12>\n";
        assert_eq!(parse_dependencies(depends), ["linux-kbuild-6.1", "<gcc-12>"]);
        assert!(parse_dependencies("").is_empty());
    }

    #[test]
    fn security_suites_and_main_suites_have_different_mirrors() {
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
}
