//! Where facts about a container come from.

use crate::snapshot::identity::Runtime;

/// A source of facts about containers: one socket of a runtime, or the files that runtimes leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The runtime.
    pub runtime: Runtime,
    /// Its sockets in the order in which they were configured, or [`Source::FILES`].
    number: u16,
}

impl Source {
    /// Files have been read but cannot be asked again: a source that answers has newer facts.
    const FILES: u16 = u16::MAX;

    /// A socket of `runtime`; `number` distinguishes its sockets.
    #[must_use]
    pub fn socket(runtime: Runtime, number: usize) -> Self {
        Self { runtime, number: u16::try_from(number).unwrap_or(Self::FILES - 1).min(Self::FILES - 1) }
    }

    /// Files that `runtime` has left.
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
    /// Its first socket.
    fn from(runtime: Runtime) -> Self {
        Self { runtime, number: 0 }
    }
}
