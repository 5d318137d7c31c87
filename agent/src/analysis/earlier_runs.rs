//! Adds the counters of a container's earlier runs to those of the current run, so that counters continue after a
//! restart.

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot},
};

/// Adds the counters at every tick.
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
