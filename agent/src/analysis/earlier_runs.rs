//! Counters continue when a container is restarted: what its earlier runs have counted is added to what this run has.

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot},
};

/// Adds them at every tick.
pub struct EarlierRuns;

impl Derivation for EarlierRuns {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, _: Moment) {
        snapshot.containers.iter_mut().for_each(add);
    }
}

/// Adds the counters of earlier runs to a row, once.
pub fn add(row: &mut ContainerRow) {
    if let Some(earlier) = row.earlier.take() {
        earlier.add_to(row);
    }
}
