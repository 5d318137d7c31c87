//! The part of the start-up that `glassbox run` and `glassbox check` share: loads the kernel programs, then starts
//! every collector that the configuration enables. No failure here is fatal: both callers report it and continue.

use crate::{
    collectors::{COLLECTORS, Collector, Context, Spec},
    config::Config,
    containers::{cgroup::Layout, layers::Layers},
    kernel::{self, Kernel},
};

/// The result of the start-up.
pub struct Started {
    /// The kernel programs, or why they could not be loaded.
    pub kernel: anyhow::Result<Kernel>,
    /// All collectors, in the order in which they run.
    pub collectors: Vec<Start>,
}

/// One collector.
pub struct Start {
    /// Its entry in the registry of collectors.
    pub spec: &'static Spec,
    /// The collector, or why it could not start; `None` if the configuration disables it.
    pub outcome: Option<anyhow::Result<Box<dyn Collector>>>,
}

/// Starts everything. `layers` provides what runtimes report about writable layers.
#[must_use]
pub fn all(config: &Config, layout: &Layout, layers: &Layers) -> Started {
    let mut kernel = layout.hierarchy_id(&config.paths.proc).and_then(|hierarchy_id| {
        Kernel::start(&kernel::Options { config, hierarchy_id, change_offsets: |_| () })
    });
    let start = |spec: &'static Spec| {
        let mut context = Context {
            config,
            layout,
            kernel_error: kernel.as_ref().err().map(|error| format!("{error:#}")),
            kernel: kernel.as_mut().ok(),
            layers: layers.clone(),
        };
        Start { spec, outcome: config.is_on(spec.name).then(|| (spec.start)(&mut context)) }
    };
    let collectors = COLLECTORS.iter().map(start).collect();
    Started { kernel, collectors }
}
