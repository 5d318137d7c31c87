//! The engine: from families and a snapshot to an [`Encoder`].
//!
//! Cost: no allocation per sample; the labels of a container are rendered once per encoding.

mod containers;
mod encoder;
mod gpus;
mod labels;
mod seen;
pub mod text;

pub use encoder::Encoder;

use containers::Containers;
use gpus::Gpus;
use seen::Seen;

use super::{
    family::{Family, LabelSet, Samples},
    sample::{Emit, Resolution, Sink, Value},
};
use crate::snapshot::{Snapshot, gpu::RatioHistogram, scheduler::Histogram, uploads::SizeHistogram};

/// Passes all samples of `families` in `snapshot` to `encoder`. No series is passed twice, even if rows of the snapshot
/// have the same labels.
pub(super) fn encode<E: Encoder>(
    families: impl Iterator<Item = &'static Family>,
    snapshot: &Snapshot,
    encoder: &mut E,
) {
    let containers = Containers::new(&snapshot.containers, encoder);
    let gpus = Gpus::new(snapshot, encoder);
    let machine = snapshot.host.machine.as_deref();
    let machine = machine.map(|machine| (machine, labels::of_machine(machine, encoder)));
    let static_labels = labels::of_host(&snapshot.agent.labels, encoder);
    let mut writer = Writer { encoder, set: &[], seen: Seen::default() };
    for family in families {
        writer.encoder.begin(family);
        match family.samples {
            Samples::Agent(read) => {
                let is_static = family.label_set == LabelSet::Static;
                read(snapshot, &mut writer.about(if is_static { &static_labels } else { &[] }));
            }
            Samples::Machine(read) => {
                if let Some((machine, set)) = &machine {
                    read(machine, &mut writer.about(set));
                }
            }
            Samples::Gpu(read) => {
                for (gpu, set) in gpus.of(family) {
                    read(gpu, &mut writer.about(set));
                }
            }
            Samples::Container(read) => {
                for (row, set) in containers.of(family) {
                    read(row, &mut writer.about(set));
                }
            }
        }
        writer.encoder.end();
    }
}

/// Adds the labels of the subject to each sample, and drops samples with labels that the subject already had in this
/// family: label values come from outside, and Prometheus rejects a scrape that contains a series twice.
struct Writer<'a, E> {
    encoder: &'a mut E,
    set: &'a [u8],
    seen: Seen,
}

impl<'a, E: Encoder> Writer<'a, E> {
    /// Starts a subject, which has this set of labels. Different subjects have different sets, so only samples of the
    /// same subject can be the same series.
    fn about(&mut self, set: &'a [u8]) -> Emit<'_> {
        self.set = set;
        self.seen.clear();
        Emit::new(self)
    }
}

impl<E: Encoder> Sink for Writer<'_, E> {
    fn value(&mut self, labels: &[&str], value: Value) {
        if self.seen.is_new(labels) {
            self.encoder.value(self.set, labels, value);
        }
    }

    fn histogram(&mut self, labels: &[&str], histogram: &Histogram, resolution: Resolution) {
        if self.seen.is_new(labels) {
            self.encoder.histogram(self.set, labels, histogram, resolution);
        }
    }

    fn ratios(&mut self, labels: &[&str], histogram: &RatioHistogram) {
        if self.seen.is_new(labels) {
            self.encoder.ratios(self.set, labels, histogram);
        }
    }

    fn sizes(&mut self, labels: &[&str], histogram: &SizeHistogram) {
        if self.seen.is_new(labels) {
            self.encoder.sizes(self.set, labels, histogram);
        }
    }
}
