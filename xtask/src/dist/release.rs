//! What a set of packages is made for: the agent, its version, its architecture and the time of its commit.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::Format;
use super::architecture::Architecture;
use super::elf::Binary;
use crate::workspace;

/// Number of the package among those of the same version.
pub(super) const REVISION: &str = "1";

/// One release for one architecture.
#[derive(Debug)]
pub(super) struct Release {
    /// Version without [`REVISION`].
    pub(super) version: String,
    pub(super) architecture: Architecture,
    /// Path of the agent.
    pub(super) agent: PathBuf,
    /// What the agent's file says about itself.
    pub(super) binary: Binary,
    /// Time of the commit, which is the time of every file.
    pub(super) time: OffsetDateTime,
}

impl Release {
    pub(super) fn of(
        agent: PathBuf,
        architecture: Architecture,
        version: Option<&str>,
    ) -> anyhow::Result<Self> {
        let content = fs::read(&agent).with_context(|| format!("read the agent {}", agent.display()))?;
        let binary = Binary::parse(&content, architecture).with_context(|| {
            format!("read {} as a program for {}", agent.display(), architecture.debian())
        })?;
        let version = version.unwrap_or(env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Self { version, architecture, agent, binary, time: commit_time()? })
    }

    /// The time, as in `2026-11-29T15:05:17Z`.
    pub(super) fn rfc3339(&self) -> anyhow::Result<String> {
        self.time.format(&Rfc3339).context("format the time of the release")
    }

    /// The time, as in `Sun, 29 Nov 2026 15:05:17 +0000`.
    pub(super) fn rfc2822(&self) -> anyhow::Result<String> {
        self.time.format(&Rfc2822).context("format the time of the release")
    }

    /// The time in seconds since the epoch.
    pub(super) fn epoch(&self) -> anyhow::Result<u64> {
        u64::try_from(self.time.unix_timestamp()).context("the time of the release is before 1970")
    }

    /// Name of a package.
    pub(super) fn package_name(&self, format: Format) -> String {
        let (version, architecture) = (&self.version, self.architecture);
        match format {
            Format::Deb => format!("glassbox_{version}-{REVISION}_{}.deb", architecture.debian()),
            Format::Rpm => format!("glassbox-{version}-{REVISION}.{}.rpm", architecture.gnu()),
            Format::Tar => self.file_name("tar.gz"),
        }
    }

    /// Name of another file of the release.
    pub(super) fn file_name(&self, extension: &str) -> String {
        format!("{}.{extension}", self.directory_name())
    }

    /// The directory in the tarball.
    pub(super) fn directory_name(&self) -> String {
        format!("glassbox-{}-linux-{}", self.version, self.architecture.debian())
    }

    /// Whether a file in the output directory belongs to this version, of any architecture.
    pub(super) fn is_own(&self, name: &str) -> bool {
        let rest = name.strip_prefix("glassbox").and_then(|rest| rest.strip_prefix(['-', '_']));
        rest.and_then(|rest| rest.strip_prefix(&self.version)).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// `SOURCE_DATE_EPOCH`, or the time of the commit.
fn commit_time() -> anyhow::Result<OffsetDateTime> {
    let given = env::var("SOURCE_DATE_EPOCH");
    let text = match &given {
        Ok(given) => given.clone(),
        Err(_) => {
            let mut git = Command::new("git");
            git.arg("-C").arg(workspace::root()).args(["log", "-1", "--format=%ct"]);
            let output = git.output().context("run git to read the time of the commit")?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    let seconds = text.trim().parse().ok();
    seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()).with_context(|| {
        let source = if given.is_ok() { "SOURCE_DATE_EPOCH" } else { "git" };
        format!(
            "read the time of the release from {source}: {:?}; outside of a git clone, set SOURCE_DATE_EPOCH",
            text.trim()
        )
    })
}

/// Accepts versions that mean the same to dpkg and rpm: no `-`, which separates the revision.
pub(super) fn parse_version(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".+~".contains(&byte);
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("a version starts with a digit and has only letters, digits and . + ~".to_owned())
    }
}
