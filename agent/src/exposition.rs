//! From a [`Snapshot`] to Prometheus.
//!
//! A metric family is data: one [`Family`] in a const slice, filed under its noun (`cpu`, `memory`, …),
//! with the function that reads its samples out of the snapshot. docs/metrics.md is made of the same table.
//!
//! [`encode`] walks the table and hands every sample to an [`Encoder`], the only part that knows a format.
//! [`encoding::text`] is text format 0.0.4. No sample carries a timestamp: explicit ones defeat Prometheus' staleness.
//!
//! Cost: no allocation per sample; a container's labels are rendered once per encode ([`encoding`]).

pub mod document;
pub mod encoding;
pub mod families;
pub mod registry;

use std::time::Duration;

use bytes::BytesMut;

pub use document::document;
use encoding::seen::Seen;
pub use encoding::text::Text;

use crate::snapshot::{
    ContainerRow, Snapshot,
    gpu::{Gpu, RatioHistogram},
    machine::Machine,
    scheduler::Histogram,
};

/// One metric family.
pub struct Family {
    /// Its name, which is API.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Where the value comes from.
    pub source: &'static str,
    /// Whom a series is about.
    pub base: Base,
    /// Labels beside those of `base`.
    pub labels: &'static [&'static str],
    /// Its samples.
    pub samples: Samples,
}

impl Family {
    /// True for a family that has cAdvisor's name and meaning; false for our own and for dcgm-exporter's.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.name.starts_with("container_") || self.name.starts_with("machine_")
    }

    /// True where the series of a container that has ended stay: its counters, final now, and that it was there. What it
    /// held or was allowed it has no longer; a gauge that stayed would be added to its successor's.
    #[must_use]
    pub fn outlives_container(&self) -> bool {
        self.kind != Kind::Gauge
            || families::lifecycle::FAMILIES.iter().any(|family| family.name == self.name)
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until it starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The labels that say whom a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The agent itself: none.
    Agent,
    /// The host: `machine_id`, `system_uuid`, `boot_id`, as cAdvisor's.
    Machine,
    /// A GPU: `gpu` (its index), `uuid`.
    Gpu,
    /// A GPU; one that NVML does not know by `pci_bus_id` alone.
    AnyGpu,
    /// A GPU, by dcgm-exporter's labels.
    Dcgm,
    /// `container`, and `namespace`, `pod` where it has them.
    Container,
    /// These, and `id`, `image`, `name`: cAdvisor's.
    CAdvisor,
    /// These, and `container_label_*` for each runtime label that the configuration lets through.
    Labelled,
}

/// How the samples of a family are read.
#[derive(Clone, Copy)]
pub enum Samples {
    /// From each container's row.
    Container(fn(&ContainerRow, &mut Emit<'_>)),
    /// From the host.
    Machine(fn(&Machine, &mut Emit<'_>)),
    /// From each GPU.
    Gpu(fn(&Gpu, &mut Emit<'_>)),
    /// From the snapshot as a whole.
    Agent(fn(&Snapshot, &mut Emit<'_>)),
}

/// Which of the kernel's buckets a histogram is exported with. Each family has one resolution, so that a query over time or
/// over containers never meets differing buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Powers of two between 31 µs and 0.25 s, and 3.8 µs, 1 s and 4 s.
    Fine,
    /// Powers of four from 3.8 µs to 1 s, and 8 s.
    Coarse,
}

/// The value of a sample. Integers and times stay exact until they are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A time, written in seconds.
    Time(Duration),
    /// Anything else.
    Real(f64),
}

/// Takes the samples of one family about one subject.
///
/// Of several samples with the same labels, the first is kept: rows come from outside, and Prometheus rejects a scrape in
/// which one series occurs twice.
pub struct Emit<'a> {
    encoder: &'a mut dyn Encoder,
    base: &'a [u8],
    labels: &'a [&'a str],
    seen: &'a mut Seen,
}

impl Emit<'_> {
    /// The same subject, with values for the labels of the family, in their order.
    pub fn with<'b>(&'b mut self, labels: &'b [&'b str]) -> Emit<'b> {
        Emit { encoder: &mut *self.encoder, base: self.base, labels, seen: &mut *self.seen }
    }

    /// A whole number; nothing where it is unknown.
    pub fn count(&mut self, count: impl Into<Option<u64>>) {
        self.value(count.into().map(Value::Count));
    }

    /// A time; nothing where it is unknown.
    pub fn time(&mut self, time: impl Into<Option<Duration>>) {
        self.value(time.into().map(Value::Time));
    }

    /// A time in nanoseconds; nothing where it is unknown.
    pub fn nanoseconds(&mut self, nanoseconds: impl Into<Option<u64>>) {
        self.time(nanoseconds.into().map(Duration::from_nanos));
    }

    /// A time in microseconds; nothing where it is unknown.
    pub fn microseconds(&mut self, microseconds: impl Into<Option<u64>>) {
        self.time(microseconds.into().map(Duration::from_micros));
    }

    /// A real number; nothing where it is unknown.
    pub fn real(&mut self, real: impl Into<Option<f64>>) {
        self.value(real.into().map(Value::Real));
    }

    /// A distribution.
    pub fn histogram(&mut self, histogram: &Histogram, resolution: Resolution) {
        if self.seen.is_new(self.labels) {
            self.encoder.histogram(self.base, self.labels, histogram, resolution);
        }
    }

    /// A distribution of ratios.
    pub fn ratios(&mut self, histogram: &RatioHistogram) {
        if self.seen.is_new(self.labels) {
            self.encoder.ratios(self.base, self.labels, histogram);
        }
    }

    fn value(&mut self, value: Option<Value>) {
        if let Some(value) = value
            && self.seen.is_new(self.labels)
        {
            self.encoder.value(self.base, self.labels, value);
        }
    }
}

/// A format. Between [`Encoder::begin`] and [`Encoder::end`] come the samples of one family.
pub trait Encoder {
    /// Appends one label to `set`. A set is opaque bytes; the set of a subject is made once and handed over
    /// as `base` with each of its samples. A prefix of a set that ended with a label is a set, too.
    fn label(&self, set: &mut BytesMut, name: &str, value: &str);

    /// Something for those who read the text themselves; programs pass it over.
    fn comment(&mut self, text: &str);

    /// A family starts. It may turn out to have no samples.
    fn begin(&mut self, family: &'static Family);

    /// A sample of a counter or gauge. `labels` are values for [`Family::labels`].
    fn value(&mut self, base: &[u8], labels: &[&str], value: Value);

    /// A sample of a histogram, in the kernel's buckets: classic and native ones can both be made of them.
    fn histogram(&mut self, base: &[u8], labels: &[&str], histogram: &Histogram, resolution: Resolution);

    /// A sample of a histogram of ratios, in twentieths.
    fn ratios(&mut self, base: &[u8], labels: &[&str], histogram: &RatioHistogram);

    /// The family is complete.
    fn end(&mut self);
}

/// What every output of a demonstration says.
pub const DEMO: &str = "DEMO: GPUs, and the containers that use them, are made up";

/// Which families are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All.
    All,
    /// Those inherited from cAdvisor.
    Inherited,
}

/// Every family, in the order in which they are written.
pub fn families() -> impl Iterator<Item = &'static Family> {
    nouns().flat_map(|(_, families)| families)
}

/// The families of each noun.
pub fn nouns() -> impl Iterator<Item = (&'static str, &'static [Family])> {
    [
        ("lifecycle", families::lifecycle::FAMILIES),
        ("cpu", families::cpu::FAMILIES),
        ("memory", families::memory::FAMILIES),
        ("pages", families::pages::FAMILIES),
        ("filesystem", families::filesystem::FAMILIES),
        ("disk", families::disk::FAMILIES),
        ("pressure", families::pressure::FAMILIES),
        ("processes", families::processes::FAMILIES),
        ("network", families::network::FAMILIES),
        ("sockets", families::sockets::FAMILIES),
        ("oom", families::oom::FAMILIES),
        ("spec", families::spec::FAMILIES),
        ("scheduler", families::scheduler::FAMILIES),
        ("nvidia_driver", families::nvidia_driver::FAMILIES),
        ("gpu", families::gpu::FAMILIES),
        ("gpu_health", families::gpu_health::FAMILIES),
        ("container_gpu", families::container_gpu::FAMILIES),
        ("nvml", families::nvml::FAMILIES),
        ("dcgm", families::dcgm::FAMILIES),
        ("machine", families::machine::FAMILIES),
        ("agent", families::agent::FAMILIES),
    ]
    .into_iter()
}

/// Hands every sample of `snapshot` within `scope` to `encoder`. No series is given twice, whatever the rows
/// say.
pub fn encode(snapshot: &Snapshot, scope: Scope, encoder: &mut dyn Encoder) {
    if snapshot.agent.demo {
        encoder.comment(DEMO);
    }
    let all = encoding::containers::SeriesSet::new(&snapshot.containers, encoder);
    let gpus = encoding::containers::GpuSet::new(snapshot, encoder);
    let machine = snapshot.host.machine.as_deref();
    let machine_set =
        machine.map(|machine| encoding::containers::machine_set(machine, encoder)).unwrap_or_default();
    let mut seen = Seen::default();
    for family in families().filter(|family| scope == Scope::All || family.is_inherited()) {
        encoder.begin(family);
        // What is about another subject has another `base`, so only samples of one subject can be the same series.
        let mut about = |base: &[u8], read: &dyn Fn(&mut Emit<'_>)| {
            seen.clear();
            read(&mut Emit { encoder: &mut *encoder, base, labels: &[], seen: &mut seen });
        };
        match family.samples {
            Samples::Agent(read) => about(&[], &|emit| read(snapshot, emit)),
            Samples::Machine(read) => {
                if let Some(machine) = machine {
                    about(&machine_set, &|emit| read(machine, emit));
                }
            }
            Samples::Gpu(read) => {
                for (gpu, base) in gpus.bearing(family) {
                    about(base, &|emit| read(gpu, emit));
                }
            }
            Samples::Container(read) => {
                let stays = family.outlives_container();
                for (row, base) in all.bearing(family).filter(|(row, _)| stays || row.ended_at.is_none()) {
                    about(base, &|emit| read(row, emit));
                }
            }
        }
        encoder.end();
    }
}
