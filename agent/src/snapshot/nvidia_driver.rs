//! A container's calls to the NVIDIA driver, and their results.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

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
    /// Waits in poll(2) for the driver, by device: `ctl` or `gpu`.
    pub polls: Vec<(&'static str, Histogram)>,
    /// Counters of decoded calls: allocations, contexts, channels and others.
    pub counters: DriverCounters,
    /// Calls in flight.
    pub in_flight: u64,
    /// Time since a call last started or ended; `None` if no call is in flight.
    pub waiting: Option<Duration>,
    /// The start-up of the process that most recently created a context.
    pub cold_start: Option<ColdStart>,
    /// When the driver last refused GPU memory to the container, if it has granted none since.
    pub refused_at: Option<SystemTime>,
    /// The same for the earlier runs of the container: the latest of their refusals.
    pub earlier_refused_at: Option<SystemTime>,
}

/// The calls of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandUsage {
    /// `ctl`, `gpu`, `uvm` or `other`.
    pub device: &'static str,
    /// Name of the command, with the group of the object that it controls or allocates.
    pub command: Cow<'static, str>,
    /// Durations of the calls.
    pub durations: Histogram,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureCount {
    /// `ctl`, `gpu`, `uvm` or `other`.
    pub device: &'static str,
    /// As in [`CommandUsage`].
    pub command: Cow<'static, str>,
    /// The reason.
    pub reason: Failure,
    /// Number of failures.
    pub count: u64,
}

/// Why a call failed, or the warning that the driver returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The driver's error status, by name.
    Status(Cow<'static, str>),
    /// The driver's warning status, by name: the call succeeded.
    Warning(Cow<'static, str>),
    /// The error of ioctl(2) itself, by name.
    Errno(Cow<'static, str>),
}

/// The start-up phases of a process. All times are measured from the start of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdStart {
    /// Name of the process (`comm`) when it created its context. The process chooses this name itself.
    pub process: String,
    /// Until its first call to the driver.
    pub driver_opened: Duration,
    /// Until its context had all its channels.
    pub context_ready: Duration,
    /// Until its last large allocation while loading; `None` if there was none.
    pub last_large_allocation: Option<Duration>,
}

/// How completely calls of containers to the driver are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverTracing {
    /// True if there is a driver: programs are attached to it, or attaching them has failed.
    pub is_present: bool,
    /// True if a container without a [`DriverUsage`] has certainly not called the driver since the agent first saw it.
    pub is_complete: bool,
}

/// The driver of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverInfo {
    /// Its release, such as `580.65.06`; empty if it is unknown.
    pub release: String,
    /// Whether the layouts of its structures are known.
    pub layouts: LayoutSupport,
}

/// Whether the layouts of the driver's structures are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutSupport {
    /// The layouts were checked against the headers of the release's branch.
    Known,
    /// The release is newer than all checked releases; the newest layouts are used.
    AssumedNewest,
    /// The release is older than all checked releases; the oldest layouts are used.
    AssumedOldest,
    /// The release is unknown: only structures that are the same in all releases are decoded.
    UnknownRelease,
}

impl LayoutSupport {
    /// The label value.
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
