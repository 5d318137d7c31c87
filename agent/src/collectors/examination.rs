//! Reports of collectors to `glassbox check`, in addition to whether they start: whether this host has what they read,
//! and details about it.

use crate::{config::Config, containers::cgroup::Layout, kernel::Kernel};

/// What an examination may use. All collectors have been started by then.
pub struct Host<'a> {
    /// The validated configuration.
    pub config: &'a Config,
    /// Where the cgroup files of this host are; `None` if it has none, and then no collector has started.
    pub layout: Option<&'a Layout>,
    /// The loaded kernel programs, if there are any.
    pub kernel: Option<&'a Kernel>,
    /// True if the configuration enables the collector.
    pub is_on: bool,
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// It works in part, or not at all.
    Degraded,
    /// This host has nothing to measure.
    NotApplicable,
    /// The configuration disables it.
    Off,
}

/// One result of an examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How well it works.
    pub verdict: Verdict,
    /// What was found, or why it does not work and what to do.
    pub text: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into() }
    }

    /// The finding about a collector that the configuration switches off, or about what only that collector reads.
    #[must_use]
    pub fn switched_off(collector: &str) -> Self {
        Self::new(Verdict::Off, format!("switched off (collectors.{collector} = false)"))
    }
}

/// The result for one collector.
#[derive(Debug, Default)]
pub struct Examination {
    /// About the collector itself; `None` if there is nothing to report besides its start.
    pub collector: Option<Finding>,
    /// About the sources that it reads, each with the subject of its row.
    pub subjects: Vec<(String, Finding)>,
}

/// For collectors with nothing to report besides their start.
#[must_use]
pub fn of_start(_: &Host<'_>) -> Examination {
    Examination::default()
}

/// The error of a collector with nothing to read on this host.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NothingToRead(pub String);
