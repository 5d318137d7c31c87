//! Collectors turn files and kernel maps into the rows of a [`Snapshot`](crate::snapshot::Snapshot). One noun each:
//! the name of a collector is its config key, its label `collector`, the stem of its kernel program and of its tests.
//!
//! To add one, see CONTRIBUTING.md.

pub mod cgroup;
pub mod disk;
pub mod examination;
pub mod host_network;
pub mod machine;
pub mod network;
pub mod nvidia_driver;
pub mod nvml;
pub mod oom;
pub mod scheduler;
mod thread;

use std::{os::fd::RawFd, time::Instant};

use self::examination::Examination;
use crate::{
    config::Config,
    containers::{cgroup::Layout, layers::Layers, tracker::Container},
    kernel::{Kernel, privileges::Capability},
    snapshot::{ContainerRow, host::Host},
};

/// What a collector may use to start.
pub struct Context<'a> {
    /// The validated configuration.
    pub config: &'a Config,
    /// Where the cgroup files of this host are.
    pub layout: &'a Layout,
    /// The loaded kernel programs; `None` where none could be loaded, with the reason in `kernel_error`.
    pub kernel: Option<&'a mut Kernel>,
    /// Why there is no `kernel`.
    pub kernel_error: Option<String>,
    /// What runtimes tell of writable layers.
    pub layers: Layers,
}

impl Context<'_> {
    /// The kernel programs.
    ///
    /// # Errors
    /// Why there are none.
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

/// A collector cannot start because the kernel programs are not loaded. The reason is the same for every such collector.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoKernelPrograms(pub String);

/// One row of the registry.
pub struct Spec {
    /// The name: the configuration key in `[collectors]`, and the value of the label `collector`.
    pub name: &'static str,
    /// One line for `glassbox check` and the documentation.
    pub summary: &'static str,
    /// The capabilities that it uses, beside those that loading kernel programs takes.
    pub capabilities: &'static [&'static Capability],
    /// Starts it, or returns why it cannot start.
    pub start: fn(&mut Context<'_>) -> anyhow::Result<Box<dyn Collector>>,
    /// What `glassbox check` reports about it beyond its start.
    pub examine: fn(&examination::Host<'_>) -> Examination,
}

/// Reads one subject of every container.
pub trait Collector: Send {
    /// Takes in what belongs to no single container. Called once per tick before the rows, and before a single container
    /// is read between ticks.
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {}

    /// A descriptor that becomes readable when the kernel programs have an event for this collector.
    fn event_source(&self) -> Option<RawFd> {
        None
    }

    /// Takes in the events that wait. Called as soon as the source is readable, and at times when none waits.
    fn on_events(&mut self, _kernel: &mut Kernel) {}

    /// When it wants to be called by [`attend`](Self::attend) before the next tick.
    fn attend_at(&self) -> Option<Instant> {
        None
    }

    /// Does what cannot wait for a tick.
    fn attend(&mut self, _kernel: &mut Kernel) {}

    /// Why it measures less than it should at present, with the remedy: what this host or the agent's privileges deny it, or
    /// a setting that cannot be met. It runs, but counts as down. Asked at every tick, so it may not be expensive.
    fn limitation(&self) -> Option<&str> {
        None
    }

    /// What it could not keep so far, by source; the sources are rows of [`losses`](crate::snapshot::losses).
    fn lost(&self) -> &[(&'static str, u64)] {
        &[]
    }

    /// Reads what belongs to one container into its row. Called for every living container at every tick, and once more
    /// when the kernel says that the last process has left. A file that has vanished is not an error: the row keeps
    /// what was read last.
    ///
    /// # Errors
    /// What was attempted and on what; counted, logged once per kind, and the other containers go on.
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()>;

    /// True if what it reads outlives the cgroup, as counters in kernel maps do. Only such collectors are asked about a
    /// container that ended before it could be read for the first time.
    fn outlives_cgroup(&self) -> bool {
        false
    }

    /// Writes what belongs to the host as a whole into the snapshot. Called once per tick, after the containers.
    fn collect_host(&mut self, _host: &mut Host) {}

    /// The container is gone: release what was held for it, such as open files.
    fn forget(&mut self, _container: &Container) {}

    /// Nobody holds this slot any more: clear its counters for the next holder.
    fn clear_slot(&mut self, _slot: u32) {}
}

/// Every collector, in the order in which they run.
pub const COLLECTORS: &[Spec] = &[
    cgroup::SPEC,
    machine::SPEC,
    network::SPEC,
    host_network::SPEC,
    disk::SPEC,
    oom::SPEC,
    scheduler::SPEC,
    nvidia_driver::SPEC,
    nvml::SPEC,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_needs_kernel_programs_says_why_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), "cpu\n").unwrap();
        let (config, layout) = (Config::default(), Layout::detect(root.path()).unwrap());
        for spec in [scheduler::SPEC, nvidia_driver::SPEC] {
            let started = (spec.start)(&mut Context {
                config: &config,
                layout: &layout,
                kernel: None,
                kernel_error: Some("this kernel has no BTF".into()),
                layers: Default::default(),
            });
            let Err(error) = started else { panic!("{} started", spec.name) };
            assert!(format!("{error:#}").contains("this kernel has no BTF"), "{}: {error:#}", spec.name);
        }
    }

    #[test]
    fn the_configuration_knows_every_collector() {
        let names: Vec<&str> = COLLECTORS.iter().map(|spec| spec.name).collect();
        assert_eq!(names, crate::config::Collectors::NAMES);
    }
}
