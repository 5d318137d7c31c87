//! What containers keep on disk.

use std::{sync::Arc, time::Duration};

/// A container's writable layer: the files that are its own, not its image's and not its volumes'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// The block device that the layer is on, as `/dev/vda`; its numbers where it has no name, empty where it is not known.
    pub device: Arc<str>,
    /// Disk space that it takes, in bytes; `None` where only its limit is known.
    pub used_bytes: Option<u64>,
    /// The most that it may take, in bytes; `None` where it has no limit of its own.
    pub limit_bytes: Option<u64>,
    /// Who told what it takes; where that is not known, who told its limit.
    pub source: DiskSource,
}

/// Who knows how large a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSource {
    /// The filesystem, which keeps account of the layer's project.
    ProjectQuota,
    /// The runtime, by CRI.
    Runtime,
    /// The agent, which looked at every file.
    Walk,
}

impl DiskSource {
    /// The value of the label `source`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProjectQuota => "project_quota",
            Self::Runtime => "runtime",
            Self::Walk => "walk",
        }
    }
}

/// How the reading of writable layers fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskReading {
    /// Age of the last round; `None` before the first.
    pub age: Option<Duration>,
    /// How long it took.
    pub duration: Option<Duration>,
}
