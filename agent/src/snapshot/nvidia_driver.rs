//! What a container asked of the NVIDIA driver, and what became of it.

use std::{borrow::Cow, time::Duration};

pub use glassbox_ebpf::nvidia_driver::DriverCounters;

use super::scheduler::Histogram;

/// One container's use of the driver since it was first seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverUsage {
    /// Whether the durations of each command are exported as a histogram: `nvidia_driver.per_command_histograms`.
    pub per_command_histograms: bool,
    /// Calls by command.
    pub commands: Vec<CommandUsage>,
    /// Failed calls by command and reason.
    pub failures: Vec<FailureCount>,
    /// How long it waited in poll(2) for the driver, by `ctl` or `gpu`.
    pub polls: Vec<(&'static str, Histogram)>,
    /// What the calls meant.
    pub counters: DriverCounters,
    /// Calls that have begun and not ended.
    pub in_flight: u64,
    /// Since when no call has ended; `None` where none is in flight.
    pub waiting: Option<Duration>,
    /// The start of the process that made a context last.
    pub cold_start: Option<ColdStart>,
}

/// The calls of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandUsage {
    /// `ctl`, `gpu`, `uvm` or `other`.
    pub device: &'static str,
    /// Its name, with the group of what it controls or allocates.
    pub command: Cow<'static, str>,
    /// How long the calls took.
    pub durations: Histogram,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureCount {
    /// `ctl`, `gpu`, `uvm` or `other`.
    pub device: &'static str,
    /// As in [`CommandUsage`].
    pub command: Cow<'static, str>,
    /// Why.
    pub reason: Failure,
    /// How often.
    pub count: u64,
}

/// Why a call failed, or what the driver warned of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The driver's error status, by name.
    Status(Cow<'static, str>),
    /// The driver's warning status, by name: the call succeeded.
    Warning(Cow<'static, str>),
    /// The error of ioctl(2) itself, by name.
    Errno(Cow<'static, str>),
}

/// How far a process came, from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdStart {
    /// Its name when it made its context, which is what it calls itself.
    pub process: String,
    /// Until its first call to the driver.
    pub driver_opened: Duration,
    /// Until its context had all its channels.
    pub context_ready: Duration,
    /// Until its last large allocation while loading; `None` where there was none.
    pub last_large_allocation: Option<Duration>,
}

/// How far the calls of containers to the driver are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverTracing {
    /// There is a driver: programs are attached to it, or attaching them has failed.
    pub is_present: bool,
    /// A container without a [`DriverUsage`] has not called the driver since it was first seen.
    pub is_complete: bool,
}

/// The driver of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverInfo {
    /// Its release, such as `580.65.06`; empty if it is unknown.
    pub release: String,
    /// How its structures are read.
    pub layouts: LayoutSupport,
}

/// Whether the layouts of the driver's structures are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutSupport {
    /// They were checked against the headers of the release's branch.
    Known,
    /// The release is newer than all that were checked; the newest layouts are used.
    AssumedNewest,
    /// The release is older than all that were checked; the oldest layouts are used.
    AssumedOldest,
    /// The release is unknown: only what is the same in all releases is decoded.
    UnknownRelease,
}

impl LayoutSupport {
    /// As a label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::AssumedNewest => "assumed_newest",
            Self::AssumedOldest => "assumed_oldest",
            Self::UnknownRelease => "unknown_release",
        }
    }
}
