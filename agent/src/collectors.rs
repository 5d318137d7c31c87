//! Collectors turn files and kernel maps into the rows of a [`Snapshot`](crate::snapshot::Snapshot). A collector has
//! one name everywhere: it is the configuration key, the value of the label `collector`, and the file name of its
//! kernel program and its tests, if it has these.
//!
//! CONTRIBUTING.md describes how to add a collector.

pub mod cgroup;
pub mod disk;
pub mod examination;
pub mod facefusion;
pub mod host_network;
pub mod inference;
pub mod machine;
pub mod network;
pub mod nvidia_driver;
pub mod nvml;
pub mod oom;
pub mod programs;
pub mod requests;
pub mod scheduler;
mod shared;
pub mod sockets;
mod thread;
pub mod threads;

use std::{os::fd::RawFd, time::Instant};

use self::examination::Examination;
use crate::{
    config::Config,
    containers::{cgroup::Layout, layers::Layers, tracker::Container},
    kernel::{Kernel, privileges::Capability},
    snapshot::{ContainerRow, host::Host},
};

/// What a collector may use when it starts.
pub struct Context<'a> {
    /// The validated configuration.
    pub config: &'a Config,
    /// Where the cgroup files of this host are.
    pub layout: &'a Layout,
    /// The loaded kernel programs; `None` if none could be loaded, for the reason in `kernel_error`.
    pub kernel: Option<&'a mut Kernel>,
    /// Why `kernel` is `None`.
    pub kernel_error: Option<String>,
    /// Sizes of writable layers that runtimes report.
    pub layers: Layers,
}

impl Context<'_> {
    /// The kernel programs.
    ///
    /// # Errors
    /// The reason, if no kernel programs are loaded.
    pub fn kernel(&mut self) -> anyhow::Result<&mut Kernel> {
        match &mut self.kernel {
            Some(kernel) => Ok(kernel),
            None => {
                let reason = self.kernel_error.as_deref().unwrap_or("no kernel programs are loaded");
                Err(NoKernelPrograms(reason.to_owned()).into())
            }
        }
    }
}

/// The error of a collector that cannot start because no kernel programs are loaded. The reason is the same for all of
/// these collectors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoKernelPrograms(pub String);

/// One entry of the registry of collectors.
pub struct Spec {
    /// The name: the configuration key in `[collectors]`, and the value of the label `collector`.
    pub name: &'static str,
    /// One line about the collector for `glassbox check` and the documentation.
    pub summary: &'static str,
    /// The capabilities that it needs, in addition to those for loading kernel programs.
    pub capabilities: &'static [&'static Capability],
    /// The collectors without which it cannot work. They precede it in the registry, and it starts only if they have started.
    pub needs: &'static [&'static str],
    /// Starts the collector, or returns why it cannot start.
    pub start: fn(&mut Context<'_>) -> anyhow::Result<Box<dyn Collector>>,
    /// What `glassbox check` reports about it, in addition to its start.
    pub examine: fn(&examination::Host<'_>) -> Examination,
}

/// Reads one subject for every container.
pub trait Collector: Send {
    /// Applies the keys that change while the agent runs ([`Config::adopt`]).
    fn configure(&mut self, _config: &Config) {}

    /// Reads what does not belong to a single container. Called once per tick before the containers are read, and also
    /// before a single container is read between ticks.
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {}

    /// Called once for each container, as soon as it is known and before it is read for the first time. For a container
    /// whose start the kernel has reported, `is_new` is true, and its first process has usually not started yet.
    fn on_start(&mut self, _container: &Container, _is_new: bool, _kernel: &mut Kernel) {}

    /// A descriptor that becomes readable when the kernel programs have an event for this collector.
    fn event_source(&self) -> Option<RawFd> {
        None
    }

    /// Handles the events that are available. Called as soon as the source is readable, and also when there may be no
    /// event.
    fn on_events(&mut self, _kernel: &mut Kernel) {}

    /// The time of a call to [`on_timer`](Self::on_timer) before the next tick, if one is needed.
    fn timer_at(&self) -> Option<Instant> {
        None
    }

    /// Does work that cannot wait for the next tick.
    fn on_timer(&mut self, _kernel: &mut Kernel) {}

    /// Why it currently measures less than it should, with the remedy: what this host or the agent's privileges do not
    /// allow, or a setting that cannot be met. The collector runs, but counts as down. Called at every tick, so it must
    /// be cheap.
    fn limitation(&self) -> Option<&str> {
        None
    }

    /// What the collector has lost so far, by source. The sources are rows of [`losses`](crate::snapshot::losses).
    fn lost(&self) -> &[(&'static str, u64)] {
        &[]
    }

    /// Reads the values of one container into its row. Called for every running container at every tick, and once more
    /// when the kernel reports that the last process has exited. A file that no longer exists is not an error: the row
    /// keeps the last values.
    ///
    /// # Errors
    /// What was attempted, and on what. The error is counted and logged once per kind, and does not affect other
    /// containers.
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()>;

    /// True if the values outlive the cgroup, as counters in kernel maps do. Only such collectors are called for a
    /// container that ended before it was read for the first time.
    fn is_readable_after_exit(&self) -> bool {
        false
    }

    /// Writes the values of the whole host into the snapshot. Called once per tick, after the containers.
    fn collect_host(&mut self, _host: &mut Host) {}

    /// Completes the row of a container that has ended, after its last reading.
    fn end(&mut self, _container: &Container, _row: &mut ContainerRow) {}

    /// Releases the state of a container that has ended, such as open files.
    fn forget(&mut self, _container: &Container) {}

    /// Clears the counters of a slot that is free, for its next container.
    fn clear_slot(&mut self, _slot: u32) {}
}

/// All collectors, in the order in which they run.
pub const COLLECTORS: &[Spec] = &[
    cgroup::SPEC,
    machine::SPEC,
    network::SPEC,
    host_network::SPEC,
    sockets::SPEC,
    requests::SPEC,
    disk::SPEC,
    oom::SPEC,
    programs::SPEC,
    scheduler::SPEC,
    nvidia_driver::SPEC,
    nvml::SPEC,
    facefusion::SPEC,
    threads::SPEC,
    inference::SPEC,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a collector does not start without kernel programs.
    fn refusal(spec: &Spec, layout: &Layout, kernel_error: Option<&str>) -> anyhow::Error {
        let started = (spec.start)(&mut Context {
            config: &Config::default(),
            layout,
            kernel: None,
            kernel_error: kernel_error.map(str::to_owned),
            layers: Default::default(),
        });
        started.err().unwrap_or_else(|| panic!("{} started", spec.name))
    }

    #[test]
    fn a_collector_that_needs_kernel_programs_reports_why_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), "cpu\n").unwrap();
        let layout = Layout::detect(root.path()).unwrap();
        for spec in [scheduler::SPEC, nvidia_driver::SPEC] {
            let error = refusal(&spec, &layout, Some("this kernel has no BTF"));
            assert!(format!("{error:#}").contains("this kernel has no BTF"), "{}: {error:#}", spec.name);
        }
    }

    #[test]
    fn without_a_v2_hierarchy_there_are_no_sockets_to_read_and_the_reason_has_a_remedy() {
        let root = tempfile::tempdir().unwrap();
        for controller in ["cpu", "memory"] {
            std::fs::create_dir(root.path().join(controller)).unwrap();
            std::fs::write(root.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        let layout = Layout::detect(root.path()).unwrap();
        for spec in [sockets::SPEC, host_network::SPEC] {
            let error = refusal(&spec, &layout, None);
            assert!(error.is::<examination::NothingToRead>(), "{}: {error:#}", spec.name);
            let text = format!("{error:#}");
            assert!(text.contains("systemd.unified_cgroup_hierarchy=1"), "{}: {text}", spec.name);
        }
    }

    #[test]
    fn a_collector_follows_those_that_it_needs() {
        for (position, spec) in COLLECTORS.iter().enumerate() {
            let earlier = |name: &&&str| COLLECTORS[..position].iter().any(|other| other.name == **name);
            assert_eq!(spec.needs.iter().filter(earlier).count(), spec.needs.len(), "{}", spec.name);
        }
    }

    #[test]
    fn the_configuration_has_a_key_for_every_collector() {
        let names: Vec<&str> = COLLECTORS.iter().map(|spec| spec.name).collect();
        assert_eq!(names, crate::config::Collectors::NAMES);
    }
}
