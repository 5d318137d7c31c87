//! The part of the start that `glassbox run` and `glassbox check` have in common: load the kernel programs, then start every
//! collector that the configuration asks for. Nothing here is fatal: both callers report what could not start, and go on.

use crate::{
    collectors::{COLLECTORS, Collector, Context, Spec},
    config::Config,
    containers::{cgroup::Layout, layers::Layers},
    kernel::{self, Kernel},
};

/// What has started.
pub struct Started {
    /// The kernel programs, or why there are none.
    pub kernel: anyhow::Result<Kernel>,
    /// Every collector, in the order in which they run.
    pub collectors: Vec<Start>,
}

/// One collector.
pub struct Start {
    /// Its row of the registry.
    pub spec: &'static Spec,
    /// The collector, or why it could not start; `None` if the configuration switches it off.
    pub outcome: Option<anyhow::Result<Box<dyn Collector>>>,
}

/// Starts everything. `layers` receives what runtimes report of writable layers.
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
