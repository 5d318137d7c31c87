//! Disk usage of containers.

use std::{sync::Arc, time::Duration};

/// A container's writable layer: its own files, without those of the image and of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// The block device of the layer, such as `/dev/vda`; its numbers if it has no name, empty if it is unknown.
    pub device: Arc<str>,
    /// Disk space used, in bytes; `None` if only the limit is known.
    pub used_bytes: Option<u64>,
    /// Limit, in bytes; `None` if the layer has no limit of its own.
    pub limit_bytes: Option<u64>,
    /// The source of `used_bytes`, or of `limit_bytes` if the usage is unknown.
    pub source: DiskSource,
}

/// The source of a layer's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSource {
    /// The project quota of the filesystem.
    ProjectQuota,
    /// The runtime, through CRI.
    Runtime,
    /// The agent, by walking through all files.
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

/// Status of the rounds over the writable layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskReading {
    /// Age of the last round; `None` before the first.
    pub age: Option<Duration>,
    /// Duration of the last round.
    pub duration: Option<Duration>,
}
