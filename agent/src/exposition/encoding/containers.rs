//! The containers of a snapshot with their labels, and which of them has samples of a family.
//!
//! Prometheus rejects a scrape that contains a series twice, and rows do collide: a restarted container keeps its ID,
//! and the row of its earlier run is kept for minutes. Of several rows with the same labels only one is written: a
//! running container if there is one, otherwise the one seen last.

use bytes::BytesMut;

use super::{encoder::Encoder, labels};
use crate::{
    exposition::family::{Family, LabelSet},
    snapshot::ContainerRow,
};

/// Room for the labels of one container, in bytes.
const SET_BYTES: usize = 384;

/// The rows of a snapshot with their labels, in the order of the labels.
pub(super) struct Containers<'a> {
    rows: Vec<Row<'a>>,
    sets: BytesMut,
}

/// One row. Its three label sets start at the same place, and each is a prefix of the next one.
struct Row<'a> {
    row: &'a ContainerRow,
    start: usize,
    /// End of [`LabelSet::Container`].
    container: usize,
    /// End of [`LabelSet::CAdvisor`].
    cadvisor: usize,
    /// End of [`LabelSet::Labelled`].
    labelled: usize,
    /// True if the row has samples of inherited families.
    has_inherited: bool,
    /// True if the row has samples of glassbox's own families.
    has_own: bool,
}

impl<'a> Containers<'a> {
    /// Renders the labels of all rows and chooses between rows with the same labels.
    pub(super) fn new(rows: &'a [ContainerRow], encoder: &impl Encoder) -> Self {
        let mut sets = BytesMut::with_capacity(rows.len() * SET_BYTES);
        let mut rows: Vec<_> = rows.iter().map(|row| Row::new(row, &mut sets, encoder)).collect();
        // Of rows with the same labels, the one to keep comes first.
        rows.sort_by(|a, b| {
            a.container_set(&sets)
                .cmp(b.container_set(&sets))
                .then_with(|| a.cadvisor_set(&sets).cmp(b.cadvisor_set(&sets)))
                .then_with(|| a.row.ended_at.is_some().cmp(&b.row.ended_at.is_some()))
                .then_with(|| b.row.is_running().cmp(&a.row.is_running()))
                .then_with(|| b.row.last_seen.cmp(&a.row.last_seen))
                .then_with(|| b.row.identity.started_at.cmp(&a.row.identity.started_at))
        });
        for group in rows.chunk_by_mut(|a, b| a.cadvisor_set(&sets) == b.cadvisor_set(&sets)) {
            group[0].has_inherited = true;
        }
        for group in rows.chunk_by_mut(|a, b| a.container_set(&sets) == b.container_set(&sets)) {
            let owners = group.iter_mut().filter(|row| row.row.owns_name);
            let best =
                owners.max_by_key(|row| (row.has_inherited, row.row.ended_at.is_none(), row.row.last_seen));
            if let Some(best) = best {
                best.has_own = true;
            }
        }
        Self { rows, sets }
    }

    /// The rows that have samples of `family`, each with its labels in that family.
    pub(super) fn of(&self, family: &Family) -> impl Iterator<Item = (&'a ContainerRow, &[u8])> {
        let (inherited, outlives) = (family.is_inherited(), family.outlives_container());
        let label_set = family.label_set;
        let rows = self.rows.iter().filter(move |row| {
            (if inherited { row.has_inherited } else { row.has_own })
                && (outlives || row.row.ended_at.is_none())
        });
        rows.map(move |row| (row.row, &self.sets[row.start..row.end(label_set)]))
    }
}

impl<'a> Row<'a> {
    fn new(row: &'a ContainerRow, sets: &mut BytesMut, encoder: &impl Encoder) -> Self {
        let identity = &*row.identity;
        let start = sets.len();
        labels::append(sets, "container", &identity.container, encoder);
        // To Prometheus an empty label is a missing one, so writing it could make two series equal.
        for (name, value) in [("namespace", &identity.namespace), ("pod", &identity.pod)] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                labels::append(sets, name, value, encoder);
            }
        }
        let container = sets.len();
        labels::append(sets, "id", &identity.cgroup_path, encoder);
        labels::append(sets, "image", &identity.image, encoder);
        labels::append(sets, "name", &identity.name, encoder);
        let cadvisor = sets.len();
        for (name, value) in labels::of_runtime(identity) {
            labels::append(sets, &name, value, encoder);
        }
        let labelled = sets.len();
        Self { row, start, container, cadvisor, labelled, has_inherited: false, has_own: false }
    }

    fn end(&self, label_set: LabelSet) -> usize {
        match label_set {
            LabelSet::Agent
            | LabelSet::Static
            | LabelSet::Machine
            | LabelSet::Gpu
            | LabelSet::AnyGpu
            | LabelSet::Dcgm => self.start,
            LabelSet::Container => self.container,
            LabelSet::CAdvisor => self.cadvisor,
            LabelSet::Labelled => self.labelled,
        }
    }

    fn container_set<'s>(&self, sets: &'s BytesMut) -> &'s [u8] {
        &sets[self.start..self.container]
    }

    fn cadvisor_set<'s>(&self, sets: &'s BytesMut) -> &'s [u8] {
        &sets[self.start..self.cadvisor]
    }
}
