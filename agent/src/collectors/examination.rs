//! What collectors report to `glassbox check`, beyond whether they start: whether this host has what they read, and what is
//! known of it.

use crate::{config::Config, containers::cgroup::Layout, kernel::Kernel};

/// What a collector may look at. Everything has started by then.
pub struct Host<'a> {
    /// The validated configuration.
    pub config: &'a Config,
    /// Where the cgroup files of this host are.
    pub layout: &'a Layout,
    /// The loaded kernel programs, if there are any.
    pub kernel: Option<&'a Kernel>,
    /// Whether the configuration switches the collector on.
    pub is_on: bool,
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// It works in part, or not at all.
    Degraded,
    /// This host has nothing that it could apply to.
    NotApplicable,
    /// The configuration switches it off.
    Off,
}

/// What was found.
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
}

/// The result for one collector.
#[derive(Debug, Default)]
pub struct Examination {
    /// About the collector itself; `None` if its start is all there is to report.
    pub collector: Option<Finding>,
    /// About what it reads, each with the subject of its row.
    pub subjects: Vec<(String, Finding)>,
}

/// For collectors whose start is all there is to report.
#[must_use]
pub fn of_start(_: &Host<'_>) -> Examination {
    Examination::default()
}

/// The error of a collector that this host has nothing for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NothingToRead(pub &'static str);
