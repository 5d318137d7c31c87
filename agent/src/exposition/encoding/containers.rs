//! Which container may bear which series, and its labels.
//!
//! Prometheus refuses a scrape in which one series occurs twice, and rows may well collide: a container that
//! was restarted keeps its id, and its ended row lives on for minutes beside the new one. So of the rows with
//! equal labels only one is written: a living one before an ended one, then the one seen last.

use std::collections::HashSet;

use bytes::BytesMut;

use crate::exposition::{Base, Encoder, Family};
use crate::snapshot::{ContainerRow, Snapshot, gpu::Gpu, identity::Identity, machine::Machine};

/// The longest label value that is written, in bytes. A cgroup path fits, whatever its length.
const VALUE_MAX_BYTES: usize = 4096;
/// The longest name of a runtime label that is written, in bytes.
const NAME_MAX_BYTES: usize = 256;
/// Most runtime labels of one container.
const RUNTIME_LABELS_MAX: usize = 64;

/// The rows of a snapshot with their labels, in the order of those.
pub(in crate::exposition) struct SeriesSet<'a> {
    rows: Vec<Series<'a>>,
    sets: BytesMut,
}

/// One row. Its three label sets are prefixes of one another.
struct Series<'a> {
    row: &'a ContainerRow,
    start: usize,
    /// End of `container[,namespace,pod]`.
    container: usize,
    /// End of these with `id,image,name`.
    cadvisor: usize,
    /// End of these with the runtime labels.
    labelled: usize,
    /// True where the row may bear inherited families.
    bears_inherited: bool,
    /// True where the row may bear `glassbox_container_*`.
    bears_own: bool,
}

impl<'a> SeriesSet<'a> {
    /// Renders every row's labels and settles who may bear what.
    pub(in crate::exposition) fn new(rows: &'a [ContainerRow], encoder: &dyn Encoder) -> Self {
        let mut sets = BytesMut::with_capacity(rows.len() * 384);
        let mut rows: Vec<_> = rows.iter().map(|row| Series::new(row, &mut sets, encoder)).collect();
        // The best of equals first, so that it is the one that is kept.
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
            group[0].bears_inherited = true;
        }
        for group in rows.chunk_by_mut(|a, b| a.container_set(&sets) == b.container_set(&sets)) {
            let owners = group.iter_mut().filter(|series| series.row.owns_name);
            let best = owners.max_by_key(|series| {
                (series.bears_inherited, series.row.ended_at.is_none(), series.row.last_seen)
            });
            if let Some(best) = best {
                best.bears_own = true;
            }
        }
        Self { rows, sets }
    }

    /// The rows that may bear `family`, each with its labels.
    pub(in crate::exposition) fn bearing(
        &self,
        family: &Family,
    ) -> impl Iterator<Item = (&'a ContainerRow, &[u8])> {
        let inherited = family.is_inherited();
        let base = family.base;
        self.rows.iter().filter(move |s| if inherited { s.bears_inherited } else { s.bears_own }).map(
            move |series| {
                let end = match base {
                    Base::Agent | Base::Machine | Base::Gpu | Base::AnyGpu | Base::Dcgm => series.start,
                    Base::Container => series.container,
                    Base::CAdvisor => series.cadvisor,
                    Base::Labelled => series.labelled,
                };
                (series.row, &self.sets[series.start..end])
            },
        )
    }
}

impl<'a> Series<'a> {
    fn new(row: &'a ContainerRow, sets: &mut BytesMut, encoder: &dyn Encoder) -> Self {
        let identity = &*row.identity;
        let start = sets.len();
        let label = |sets: &mut BytesMut, name, value| {
            encoder.label(sets, name, truncated(value, VALUE_MAX_BYTES));
        };
        label(sets, "container", &identity.container);
        // To Prometheus an empty label is none, so writing one could give a series twice.
        for (name, value) in [("namespace", &identity.namespace), ("pod", &identity.pod)] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                label(sets, name, value);
            }
        }
        let container = sets.len();
        label(sets, "id", &identity.cgroup_path);
        label(sets, "image", &identity.image);
        label(sets, "name", &identity.name);
        let cadvisor = sets.len();
        for (name, value) in runtime_labels(identity) {
            encoder.label(sets, &name, truncated(value, VALUE_MAX_BYTES));
        }
        let labelled = sets.len();
        Self { row, start, container, cadvisor, labelled, bears_inherited: false, bears_own: false }
    }

    fn container_set<'s>(&self, sets: &'s BytesMut) -> &'s [u8] {
        &sets[self.start..self.container]
    }

    fn cadvisor_set<'s>(&self, sets: &'s BytesMut) -> &'s [u8] {
        &sets[self.start..self.cadvisor]
    }
}

/// The GPUs of a snapshot with their labels, each set of labels once.
pub(in crate::exposition) struct GpuSet<'a> {
    rows: Vec<(&'a Gpu, BytesMut, BytesMut)>,
    /// Those that NVML does not report.
    strays: Vec<(&'a Gpu, BytesMut)>,
}

/// `pci_bus_id` of a GPU whose address is unknown, which has no other label.
const NO_ADDRESS: &str = "unknown";

impl<'a> GpuSet<'a> {
    /// Renders every GPU's labels: our own, and dcgm-exporter's.
    pub(in crate::exposition) fn new(snapshot: &'a Snapshot, encoder: &dyn Encoder) -> Self {
        let usage = snapshot.host.nvml.as_ref();
        let hostname = usage.map_or("", |usage| &usage.hostname);
        let driver_version = usage.map_or("", |usage| &usage.driver_version);
        let render = |labels: &[(&str, &str)]| render(labels, encoder);
        // One that answers first, so that of two with the same labels it is the one that is kept.
        let mut gpus: Vec<_> = snapshot.host.gpus.iter().collect();
        gpus.sort_by_key(|gpu| (gpu.index, !gpu.up));
        let rows = gpus.into_iter().map(|gpu| {
            let index = gpu.index.to_string();
            let device = gpu.minor.map(|minor| format!("nvidia{minor}")).unwrap_or_default();
            let own = render(&[("gpu", &index), ("uuid", &gpu.uuid)]);
            let dcgm = render(&[
                ("gpu", &index),
                ("UUID", &gpu.uuid),
                ("pci_bus_id", &gpu.pci_bus_id),
                ("device", &device),
                ("modelName", &gpu.name),
                ("Hostname", hostname),
                ("DCGM_FI_DRIVER_VERSION", driver_version),
            ]);
            (gpu, own, dcgm)
        });
        let mut rows: Vec<_> = rows.collect();
        // Equal `gpu` and `uuid` make equal labels in dcgm-exporter's families at most; those have more.
        let mut own = HashSet::new();
        rows.retain(|(_, labels, _): &(&Gpu, BytesMut, BytesMut)| own.insert(labels.clone()));
        let strays = snapshot.host.stray_gpus.iter().map(|gpu| {
            let address = if gpu.pci_bus_id.is_empty() { NO_ADDRESS } else { &gpu.pci_bus_id };
            (gpu, render(&[("pci_bus_id", address)]))
        });
        let mut strays: Vec<_> = strays.collect();
        let mut addresses = HashSet::new();
        strays.retain(|(_, labels): &(&Gpu, BytesMut)| addresses.insert(labels.clone()));
        Self { rows, strays }
    }

    /// The GPUs, each with its labels for this family.
    pub(in crate::exposition) fn bearing(&self, family: &Family) -> impl Iterator<Item = (&'a Gpu, &[u8])> {
        let is_dcgm = family.base == Base::Dcgm;
        let strays = if family.base == Base::AnyGpu { &*self.strays } else { &[] };
        let known =
            self.rows.iter().map(move |(gpu, own, dcgm)| (*gpu, if is_dcgm { &**dcgm } else { &**own }));
        known.chain(strays.iter().map(|(gpu, address)| (*gpu, &**address)))
    }
}

/// The labels of the host.
pub(in crate::exposition) fn machine_set(machine: &Machine, encoder: &dyn Encoder) -> BytesMut {
    let Machine { machine_id, system_uuid, boot_id, .. } = machine;
    render(&[("machine_id", machine_id), ("system_uuid", system_uuid), ("boot_id", boot_id)], encoder)
}

/// A set of labels without the empty ones, which to Prometheus are none.
fn render(labels: &[(&str, &str)], encoder: &dyn Encoder) -> BytesMut {
    let mut set = BytesMut::new();
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        encoder.label(&mut set, name, truncated(value, VALUE_MAX_BYTES));
    }
    set
}

/// The runtime labels as `container_label_*`. Two names may become one, such as `a.b` and `a-b`; the first is
/// kept, as a label given twice would spoil the whole scrape.
fn runtime_labels(identity: &Identity) -> Vec<(String, &str)> {
    let mut labels: Vec<(String, &str)> = Vec::with_capacity(identity.labels.len().min(RUNTIME_LABELS_MAX));
    for (name, value) in identity.labels.iter().take(RUNTIME_LABELS_MAX) {
        let name = label_name(name);
        if labels.iter().all(|(other, _)| *other != name) {
            labels.push((name, value));
        }
    }
    labels
}

/// cAdvisor's name for a runtime label.
fn label_name(name: &str) -> String {
    let word = truncated(name, NAME_MAX_BYTES).chars();
    let word = word.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    "container_label_".chars().chain(word).collect()
}

/// The longest prefix of `text` that fits into `bytes`.
fn truncated(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_name_is_what_cadvisor_makes_of_it() {
        assert_eq!(
            label_name("com.docker.compose.container-number"),
            "container_label_com_docker_compose_container_number"
        );
        assert_eq!(label_name("größe/x"), "container_label_gr__e_x");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(truncated("aß", 2), "a");
        assert_eq!(truncated("aß", 3), "aß");
        assert_eq!(truncated("", 2), "");
    }
}
