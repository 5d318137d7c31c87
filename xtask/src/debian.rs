//! apt and dpkg on Debian and derived distributions.
//!
//! Without root, errors have the commands to run as root. Mirrors come from apt's configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

use anyhow::{Context as _, bail};

use crate::{step, workspace};

/// Waits for another apt instead of failing.
const WAIT_FOR_LOCK: [&str; 2] = ["-o", "DPkg::Lock::Timeout=300"];
/// Policy file that maintainer scripts run before they start a service. Exit status 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The distribution's `ID`, such as `debian` or `ubuntu`, if the distribution uses apt.
pub(crate) fn distribution() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let id = value("ID")?;
    let like = value("ID_LIKE").unwrap_or_default();
    let is_supported =
        id == "debian" || id == "ubuntu" || like.split_whitespace().any(|name| name == "debian");
    is_supported.then_some(id)
}

/// The packages that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |package: &&str| {
        let output = query("dpkg-query", &["--show", "--showformat=${db:Status-Status}", package]);
        output.is_some_and(|status| status.starts_with("installed"))
    };
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

/// The version of `package` that apt would install. Needs package lists, see [`refresh`].
pub(crate) fn candidate(package: &str) -> Option<String> {
    let policy = query("apt-cache", &["policy", package])?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Downloads apt's package lists, at most once per process. Does nothing without root.
pub(crate) fn refresh() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !workspace::is_root() {
            return;
        }
        let update = step::run("download the package lists", apt("apt-get").arg("update"));
        if let Err(error) = update {
            // A single broken source must not prevent the use of the others. A missing package is an error later.
            step::note(&format!("continuing with the existing package lists: {error}"));
        }
    });
}

/// What to do with installed packages that conflict with new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// Report an error and install nothing.
    #[default]
    Refuse,
    /// Remove them. For CI machines.
    Remove,
}

/// Installs missing packages without recommended packages and without starting services.
pub(crate) fn install(what: &str, packages: &[&str], conflicts: Conflicts) -> anyhow::Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        step::note(&format!("{what}: installed ({})", packages.join(" ")));
        return Ok(());
    }
    let list = missing.join(" ");
    if !workspace::is_root() {
        bail!(
            "{what}: root required; run these commands, then repeat the xtask command:\n  sudo apt-get update\n  \
             sudo apt-get install --yes --no-install-recommends {list}"
        );
    }
    refresh();
    if conflicts == Conflicts::Refuse {
        let removals = removals(&missing);
        anyhow::ensure!(
            removals.is_empty(),
            "{what}: {list} conflicts with the installed {}; remove it, or run: cargo xtask setup --tests \
             --remove-conflicting",
            removals.join(" ")
        );
    }
    let services = services();
    let policy = NoServices::start()?;
    let mut command = apt("apt-get");
    command.args(WAIT_FOR_LOCK).args(["install", "--yes", "--no-install-recommends"]).args(&missing);
    if conflicts == Conflicts::Refuse {
        command.arg("--no-remove");
    }
    step::run(&format!("{what}: install {list}"), &mut command)?;
    drop(policy);
    disable_services_except(&services)
}

/// The installed packages that apt would remove to install `packages`.
fn removals(packages: &[&str]) -> Vec<String> {
    let mut arguments = vec!["install", "--simulate", "--no-install-recommends"];
    arguments.extend(packages);
    parse_removals(&query("apt-get", &arguments).unwrap_or_default())
}

/// The packages that a simulated apt-get run removes: `qemu-utils` of `Remv qemu-utils [1:10.0.2]`.
fn parse_removals(simulation: &str) -> Vec<String> {
    let package = |line: &str| line.strip_prefix("Remv ")?.split_whitespace().next().map(str::to_owned);
    simulation.lines().filter_map(package).collect()
}

/// Downloads `package` and unpacks it into `into` without installing it.
pub(crate) fn unpack(package: &str, into: &Path) -> anyhow::Result<()> {
    if candidate(package).is_none() {
        refresh();
    }
    let download = into.with_extension("download");
    make_empty_dir(&download)?;
    let mut fetch = apt("apt-get");
    fetch.current_dir(&download).args(["-o", "APT::Sandbox::User=root", "download", package]);
    step::run(&format!("download {package}"), &mut fetch)?;
    let archive = archive(&download)?;
    make_empty_dir(into)?;
    step::run(&format!("unpack {package}"), Command::new("dpkg").arg("--extract").arg(archive).arg(into))?;
    fs::remove_dir_all(&download).with_context(|| format!("remove {}", download.display()))
}

/// The `.deb` file in `dir`.
pub(crate) fn archive(dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut archives = entries.flatten().map(|entry| entry.path());
    archives
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("find a package in {}", dir.display()))
}

/// Creates `dir`, or deletes its content.
pub(crate) fn make_empty_dir(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))
}

/// One of apt's configured package sources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// URI of the archive.
    pub(crate) uri: String,
    /// Suite, such as `bookworm-security`.
    pub(crate) suite: String,
}

/// apt's configured package sources. Their lists may not be downloaded yet.
pub(crate) fn sources() -> anyhow::Result<Vec<Source>> {
    let format = "$(CREATED_BY) $(SITE) $(RELEASE)";
    let targets = query("apt-get", &["indextargets", "--no-release-info", "--format", format])
        .context("list the package sources with apt-get")?;
    Ok(parse_sources(&targets))
}

fn parse_sources(targets: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in targets.lines() {
        if let ["Packages", uri, suite] = line.split_whitespace().collect::<Vec<_>>()[..] {
            let source = Source { uri: uri.to_owned(), suite: suite.to_owned() };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    sources
}

/// An apt program without prompts and with English output.
pub(crate) fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

/// Standard output of a program if it succeeds.
fn query(program: &str, arguments: &[&str]) -> Option<String> {
    let output = apt(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prevents package installations from starting services while it exists.
struct NoServices {
    created: bool,
}

impl NoServices {
    fn start() -> anyhow::Result<Self> {
        let created = !Path::new(POLICY).exists();
        if created {
            use std::os::unix::fs::PermissionsExt as _;
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("make {POLICY} executable"))?;
        }
        Ok(Self { created })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.created
            && let Err(error) = fs::remove_file(POLICY)
        {
            step::note(&format!(
                "cannot remove {POLICY}: {error}; remove it, or packages cannot start services"
            ));
        }
    }
}

/// Enabled systemd services and sockets; empty if systemd is not running.
fn services() -> BTreeSet<String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return BTreeSet::new();
    }
    let arguments = ["list-unit-files", "--type=service,socket", "--state=enabled", "--no-legend", "--plain"];
    let listing = query("systemctl", &arguments).unwrap_or_default();
    listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Disables services that an installation has enabled. Tests start their own services.
fn disable_services_except(before: &BTreeSet<String>) -> anyhow::Result<()> {
    let new: Vec<String> = services().difference(before).cloned().collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("systemctl");
    step::run(&format!("disable at boot: {}", new.join(" ")), command.arg("disable").args(&new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_without_packages_and_duplicates_are_ignored() {
        let targets = "\
Packages http://mirror.example/debian bookworm
DEP-11 http://mirror.example/debian bookworm
Packages http://mirror.example/debian bookworm
Packages http://mirror.example/debian-security bookworm-security

Packages odd
";
        let source = |uri: &str, suite: &str| Source { uri: uri.into(), suite: suite.into() };
        assert_eq!(
            parse_sources(targets),
            [
                source("http://mirror.example/debian", "bookworm"),
                source("http://mirror.example/debian-security", "bookworm-security"),
            ]
        );
    }

    #[test]
    fn packages_that_a_simulated_installation_removes_are_listed() {
        let simulation = "\
The following packages will be REMOVED:
  qemu-utils
Remv qemu-utils [1:10.0.2+ds-2]
Inst qemu-system-common (1:7.2+dfsg-7 Debian:12.13/oldstable [amd64])
";
        assert_eq!(parse_removals(simulation), ["qemu-utils"]);
        assert!(parse_removals("0 upgraded, 0 newly installed").is_empty());
    }
}
