//! The earlier snapshots that a derivation can use. The previous one costs nothing, because it is still published. A
//! derivation that needs older data keeps it itself, bounded per container.

use crate::snapshot::{ContainerRow, Snapshot};

/// Recent snapshots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent<'a> {
    previous: Option<&'a Snapshot>,
}

impl<'a> Recent<'a> {
    /// The previous snapshot; `None` at the first tick.
    #[must_use]
    pub const fn new(previous: Option<&'a Snapshot>) -> Self {
        Self { previous }
    }

    /// The row of a container in the previous snapshot. A binary search.
    #[must_use]
    pub fn container(&self, key: u64) -> Option<&'a ContainerRow> {
        let rows = &self.previous?.containers;
        rows.binary_search_by_key(&key, |row| row.key).ok().map(|index| &rows[index])
    }
}
