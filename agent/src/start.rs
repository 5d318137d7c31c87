//! The part of the start-up that `glassbox run` and `glassbox check` share: loads the kernel programs, then starts
//! every collector that the configuration enables. No failure here is fatal: both callers report it and continue.

use crate::{
    collectors::{COLLECTORS, Collector, Context, NoKernelPrograms, Spec, examination::NothingToRead},
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
    let mut collectors = Vec::new();
    for spec in COLLECTORS {
        let mut context = Context {
            config,
            layout,
            kernel_error: kernel.as_ref().err().map(|error| format!("{error:#}")),
            kernel: kernel.as_mut().ok(),
            layers: layers.clone(),
        };
        let mut start = || missing(spec, &collectors).map_or_else(|| (spec.start)(&mut context), Err);
        let outcome = config.is_on(spec.name).then(&mut start);
        collectors.push(Start { spec, outcome });
    }
    Started { kernel, collectors }
}

/// Why a collector cannot start without one that it needs; `None` if those have started.
fn missing(spec: &Spec, earlier: &[Start]) -> Option<anyhow::Error> {
    let missing = earlier
        .iter()
        .find(|start| spec.needs.contains(&start.spec.name) && !matches!(start.outcome, Some(Ok(_))))?;
    let name = missing.spec.name;
    Some(match &missing.outcome {
        Some(Err(error)) => match error.downcast_ref::<NoKernelPrograms>() {
            Some(NoKernelPrograms(reason)) => NoKernelPrograms(reason.clone()).into(),
            None if error.is::<NothingToRead>() => {
                NothingToRead(format!("needs the collector {name}, which has nothing to read on this host"))
                    .into()
            }
            None => anyhow::anyhow!("needs the collector {name}, which does not work; see collector {name}"),
        },
        _ => NothingToRead(format!("needs the collector {name}, which is off (collectors.{name} = false)"))
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> &'static Spec {
        COLLECTORS.iter().find(|spec| spec.name == name).unwrap()
    }

    /// Why the collector of requests does not start, and whether that is an error.
    fn without_sockets(outcome: Option<anyhow::Result<Box<dyn Collector>>>) -> (String, bool) {
        let sockets = Start { spec: spec("sockets"), outcome };
        let error = missing(spec("requests"), &[sockets]).unwrap();
        (error.to_string(), !error.is::<NothingToRead>())
    }

    #[test]
    fn a_collector_does_not_start_without_one_that_it_needs() {
        let (text, is_error) = without_sockets(None);
        assert!(text.contains("collectors.sockets = false") && !is_error, "{text}");
        let (text, is_error) = without_sockets(Some(Err(NothingToRead("no v2 hierarchy".into()).into())));
        assert!(text.contains("nothing to read") && !is_error, "{text}");
        let (text, is_error) = without_sockets(Some(Err(anyhow::anyhow!("no CAP_NET_ADMIN"))));
        assert!(text.contains("see collector sockets") && is_error, "{text}");
        let (text, is_error) = without_sockets(Some(Err(NoKernelPrograms("no BTF".into()).into())));
        assert_eq!((text.as_str(), is_error), ("no BTF", true));
        assert!(missing(spec("sockets"), &[]).is_none());
    }
}
