//! The GPUs of a snapshot with their labels.

use std::collections::HashSet;

use bytes::BytesMut;

use super::{encoder::Encoder, labels};
use crate::{
    exposition::family::{Family, LabelSet},
    snapshot::{Snapshot, gpu::Gpu},
};

/// `pci_bus_id` of a GPU with an unknown address, which has no other label.
const NO_ADDRESS: &str = "unknown";

/// The GPUs with their labels. No two GPUs have the same labels.
pub(super) struct Gpus<'a> {
    known: Vec<Known<'a>>,
    /// The GPUs that NVML does not report, with `pci_bus_id`.
    strays: Vec<(&'a Gpu, BytesMut)>,
}

/// A GPU that NVML reports.
struct Known<'a> {
    gpu: &'a Gpu,
    own: BytesMut,
    dcgm: BytesMut,
}

impl<'a> Gpus<'a> {
    /// Renders the labels of all GPUs.
    pub(super) fn new(snapshot: &'a Snapshot, encoder: &impl Encoder) -> Self {
        let mut gpus: Vec<_> = snapshot.host.gpus.iter().collect();
        // Of two GPUs with the same labels, the one that responds comes first and is kept.
        gpus.sort_by_key(|gpu| (gpu.index, !gpu.up));
        let mut known: Vec<_> = gpus.into_iter().map(|gpu| Known::new(gpu, snapshot, encoder)).collect();
        // dcgm-exporter's labels contain `gpu` and `uuid`, so different sets here are different sets there.
        let mut sets = HashSet::new();
        known.retain(|gpu| sets.insert(gpu.own.clone()));
        let strays = snapshot.host.unreported_gpus.iter().map(|gpu| {
            let address = if gpu.pci_bus_id.is_empty() { NO_ADDRESS } else { &gpu.pci_bus_id };
            (gpu, labels::set(&[("pci_bus_id", address)], encoder))
        });
        let mut strays: Vec<_> = strays.collect();
        let mut sets = HashSet::new();
        strays.retain(|(_, set): &(&Gpu, BytesMut)| sets.insert(set.clone()));
        Self { known, strays }
    }

    /// The GPUs that have samples of `family`, each with its labels in that family.
    pub(super) fn of(&self, family: &Family) -> impl Iterator<Item = (&'a Gpu, &[u8])> {
        let label_set = family.label_set;
        let strays = if label_set == LabelSet::AnyGpu { &*self.strays } else { &[] };
        let known = self.known.iter().map(move |known| {
            (known.gpu, if label_set == LabelSet::Dcgm { &*known.dcgm } else { &*known.own })
        });
        known.chain(strays.iter().map(|(gpu, set)| (*gpu, &**set)))
    }
}

impl<'a> Known<'a> {
    fn new(gpu: &'a Gpu, snapshot: &Snapshot, encoder: &impl Encoder) -> Self {
        let nvml = snapshot.host.nvml.as_ref();
        let index = gpu.index.to_string();
        let device = gpu.minor.map(|minor| format!("nvidia{minor}")).unwrap_or_default();
        let own = labels::set(&[("gpu", &index), ("uuid", &gpu.uuid)], encoder);
        let dcgm = [
            ("gpu", &*index),
            ("UUID", &gpu.uuid),
            ("pci_bus_id", &gpu.pci_bus_id),
            ("device", &device),
            ("modelName", &gpu.name),
            ("Hostname", nvml.map_or("", |nvml| &nvml.hostname)),
            ("DCGM_FI_DRIVER_VERSION", nvml.map_or("", |nvml| &nvml.driver_version)),
        ];
        Self { gpu, own, dcgm: labels::set(&dcgm, encoder) }
    }
}
