//! From a [`Snapshot`] to Prometheus.
//!
//! - [`families`]: the tables. A metric family is data: one [`Family`] in the table of its subject (`cpu`, `memory`, …),
//!   with the function that reads its samples from the snapshot.
//! - [`encoding`]: the engine. It passes the samples of each family to an [`Encoder`], the only part that depends on the
//!   output format.
//! - [`document`](mod@document): docs/metrics.md, generated from the same tables.
//! - [`registry`]: metrics of the agent's process and HTTP server, which are not part of a snapshot.
//!
//! [`family`] and [`sample`] are the types that these share. No sample carries a timestamp, because explicit timestamps
//! disable Prometheus' staleness handling.

pub mod document;
pub mod encoding;
pub mod families;
pub mod family;
pub mod registry;
pub mod sample;

pub use document::document;
pub use encoding::{Encoder, text::Text};
pub use families::{families, subjects};
pub use family::{Family, Kind, LabelSet, Samples};
pub use sample::{Emit, Resolution, Value};

use crate::snapshot::Snapshot;

/// The notice in every output of a demonstration.
pub const DEMO: &str = "DEMO: GPUs, and the containers that use them, are made up";

/// The families that are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All families.
    All,
    /// Only the families inherited from cAdvisor.
    Inherited,
}

/// Passes all samples of `snapshot` within `scope` to `encoder`, each series at most once.
pub fn encode<E: Encoder>(snapshot: &Snapshot, scope: Scope, encoder: &mut E) {
    if snapshot.agent.demo {
        encoder.comment(DEMO);
    }
    let families = families().filter(|family| scope == Scope::All || family.is_inherited());
    encoding::encode(families, snapshot, encoder);
}
