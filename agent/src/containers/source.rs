//! Sources of container metadata.

use crate::snapshot::identity::Runtime;

/// A source of container metadata: one socket of a runtime, or the files of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The runtime.
    pub runtime: Runtime,
    /// The position of the socket in the configuration, or [`Source::FILES`].
    number: u16,
}

impl Source {
    /// Files are read only once, so a socket has newer metadata and takes precedence.
    const FILES: u16 = u16::MAX;

    /// A socket of `runtime`; `number` distinguishes its sockets.
    #[must_use]
    pub fn socket(runtime: Runtime, number: usize) -> Self {
        Self { runtime, number: u16::try_from(number).unwrap_or(Self::FILES - 1).min(Self::FILES - 1) }
    }

    /// The files of `runtime`.
    #[must_use]
    pub const fn files(runtime: Runtime) -> Self {
        Self { runtime, number: Self::FILES }
    }

    /// If two sources report the same container, the one with the lower rank wins.
    pub(super) const fn rank(self) -> u16 {
        self.number
    }

    pub(super) fn is_files(self) -> bool {
        self.number == Self::FILES
    }
}

impl From<Runtime> for Source {
    /// The first socket of the runtime.
    fn from(runtime: Runtime) -> Self {
        Self { runtime, number: 0 }
    }
}
