//! A metric family: its name, its labels, and how its samples are read from a snapshot.

mod draft;

pub(super) use draft::Draft;

use super::sample::Emit;
use crate::snapshot::{ContainerRow, Snapshot, gpu::Gpu, machine::Machine};

/// One metric family. [`Family::counter`], [`Family::gauge`] and [`Family::histogram`] start one.
pub struct Family {
    /// The metric name. Names are API.
    pub name: &'static str,
    /// The metric type.
    pub kind: Kind,
    /// The HELP text: what is measured and in which unit.
    pub help: &'static str,
    /// The origin of the values, for docs/metrics.md.
    pub source: &'static str,
    /// The labels that identify the subject of a series.
    pub label_set: LabelSet,
    /// The names of further labels.
    pub labels: &'static [&'static str],
    /// The function that reads the samples.
    pub samples: Samples,
    unit: Option<&'static str>,
    inherited: bool,
    outlives_container: bool,
}

impl Family {
    /// True for a family with cAdvisor's name and meaning; false for glassbox's own and for dcgm-exporter's.
    #[must_use]
    pub const fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// True if the series of an ended container remain while its row is kept, as those of counters and of facts about
    /// its exit do. Other gauges are removed: an ended container no longer uses resources, and sums would add its
    /// values to those of its successor.
    #[must_use]
    pub const fn outlives_container(&self) -> bool {
        self.outlives_container
    }

    /// The unit of the values, empty if they have none: by convention the last word of the name, unless the family
    /// states another one.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        const UNITS: [&str; 7] = ["seconds", "bytes", "ratio", "watts", "joules", "celsius", "hertz"];
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let named = || UNITS.into_iter().find(|unit| name.ends_with(unit));
        self.unit.or_else(named).unwrap_or_default()
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that only grows, except for resets to 0.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The labels that identify the subject of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSet {
    /// The agent: no labels.
    Agent,
    /// The static labels of the configuration, under their own names.
    Static,
    /// The host: `machine_id`, `system_uuid`, `boot_id`, as in cAdvisor.
    Machine,
    /// A GPU: `gpu` (its index), `uuid`.
    Gpu,
    /// A GPU as in [`LabelSet::Gpu`]; a GPU that NVML does not report has only `pci_bus_id`.
    AnyGpu,
    /// A GPU, with dcgm-exporter's labels.
    Dcgm,
    /// A container: `container`, and in Kubernetes `namespace` and `pod`.
    Container,
    /// [`LabelSet::Container`] and cAdvisor's `id`, `image`, `name`.
    CAdvisor,
    /// [`LabelSet::CAdvisor`] and `container_label_*` for each runtime label that the configuration selects.
    Labelled,
}

/// The function that reads the samples of a family, by subject.
#[derive(Clone, Copy)]
pub enum Samples {
    /// Called for each container.
    Container(fn(&ContainerRow, &mut Emit<'_>)),
    /// Called for the host.
    Machine(fn(&Machine, &mut Emit<'_>)),
    /// Called for each GPU.
    Gpu(fn(&Gpu, &mut Emit<'_>)),
    /// Called once, for the agent.
    Agent(fn(&Snapshot, &mut Emit<'_>)),
}
