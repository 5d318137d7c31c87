//! Building a [`Family`] in a constant table.
//!
//! ```text
//! Family::counter("container_cpu_user_seconds_total")
//!     .help("CPU time consumed in user mode, in seconds.")
//!     .source("v2 cpu.stat user_usec; v1 cpuacct.usage_user")
//!     .cadvisor(|row, emit| emit.nanoseconds(row.cgroup.cpu.user_ns)),
//! ```
//!
//! The last call names the label set and takes the function that reads the samples, so a table cannot contain a family
//! without samples. A family without help or source does not compile, because tables are constants.

use super::{Family, Kind, LabelSet, Samples};
use crate::{
    exposition::sample::Emit,
    snapshot::{ContainerRow, Snapshot, gpu::Gpu, machine::Machine},
};

/// A family that has no samples yet.
pub(in crate::exposition) struct Draft(Family);

impl Family {
    /// Starts a counter.
    pub(in crate::exposition) const fn counter(name: &'static str) -> Draft {
        Draft::new(Kind::Counter, name)
    }

    /// Starts a gauge.
    pub(in crate::exposition) const fn gauge(name: &'static str) -> Draft {
        Draft::new(Kind::Gauge, name)
    }

    /// Starts a histogram.
    pub(in crate::exposition) const fn histogram(name: &'static str) -> Draft {
        Draft::new(Kind::Histogram, name)
    }
}

impl Draft {
    const fn new(kind: Kind, name: &'static str) -> Self {
        Self(Family {
            name,
            kind,
            help: "",
            source: "",
            label_set: LabelSet::Agent,
            labels: &[],
            samples: Samples::Agent(|_, _| {}),
            unit: None,
            inherited: false,
            outlives_container: !matches!(kind, Kind::Gauge),
        })
    }

    /// What is measured and in which unit, as a sentence. Required.
    pub(in crate::exposition) const fn help(mut self, help: &'static str) -> Self {
        self.0.help = help;
        self
    }

    /// The origin of the values. Required.
    pub(in crate::exposition) const fn source(mut self, source: &'static str) -> Self {
        self.0.source = source;
        self
    }

    /// The names of the labels beside those of the label set.
    pub(in crate::exposition) const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.0.labels = labels;
        self
    }

    /// The unit of the values, if the name does not end with it.
    pub(in crate::exposition) const fn unit(mut self, unit: &'static str) -> Self {
        self.0.unit = Some(unit);
        self
    }

    /// See [`Family::is_inherited`]. Families with [`LabelSet::CAdvisor`] are inherited without this call.
    pub(in crate::exposition) const fn inherited(mut self) -> Self {
        self.0.inherited = true;
        self
    }

    /// See [`Family::outlives_container`]. Always true for counters and histograms, without this call.
    pub(in crate::exposition) const fn outlives_container(mut self) -> Self {
        self.0.outlives_container = true;
        self
    }

    /// Samples of the agent.
    pub(in crate::exposition) const fn agent(self, read: fn(&Snapshot, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Agent, Samples::Agent(read))
    }

    /// A sample with the static labels.
    pub(in crate::exposition) const fn static_labels(self, read: fn(&Snapshot, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Static, Samples::Agent(read))
    }

    /// Samples of the host.
    pub(in crate::exposition) const fn machine(self, read: fn(&Machine, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Machine, Samples::Machine(read))
    }

    /// Samples of each GPU that NVML reports.
    pub(in crate::exposition) const fn gpu(self, read: fn(&Gpu, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Gpu, Samples::Gpu(read))
    }

    /// Samples of each GPU, including those that NVML does not report.
    pub(in crate::exposition) const fn any_gpu(self, read: fn(&Gpu, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::AnyGpu, Samples::Gpu(read))
    }

    /// Samples of each GPU that NVML reports, with dcgm-exporter's labels.
    pub(in crate::exposition) const fn dcgm(self, read: fn(&Gpu, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Dcgm, Samples::Gpu(read))
    }

    /// Samples of each container.
    pub(in crate::exposition) const fn container(self, read: fn(&ContainerRow, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Container, Samples::Container(read))
    }

    /// Samples of each container, with cAdvisor's labels.
    pub(in crate::exposition) const fn cadvisor(self, read: fn(&ContainerRow, &mut Emit<'_>)) -> Family {
        self.inherited().complete(LabelSet::CAdvisor, Samples::Container(read))
    }

    /// Samples of each container, with cAdvisor's labels and the runtime labels.
    pub(in crate::exposition) const fn labelled(self, read: fn(&ContainerRow, &mut Emit<'_>)) -> Family {
        self.complete(LabelSet::Labelled, Samples::Container(read))
    }

    const fn complete(mut self, label_set: LabelSet, samples: Samples) -> Family {
        assert!(!self.0.name.is_empty() && !self.0.help.is_empty(), "a family without name or help");
        assert!(!self.0.source.is_empty(), "a family without source");
        (self.0.label_set, self.0.samples) = (label_set, samples);
        self.0
    }
}
