//! The kernel programs and the collectors, each started for a moment.

use super::{Report, State};
use crate::{
    collectors::{COLLECTORS, Context, Spec, host_network, nvidia_driver, nvml, oom},
    config::Config,
    containers::cgroup::{Layout, Mode},
    kernel::{self, Kernel, attach::Outcome},
};

/// Probes that lose data if their best hook cannot be had; with the others, a fallback only costs more.
const LOSES_BY_FALLBACK: [&str; 1] = [nvidia_driver::SPEC.name];

/// One row per probe, one per collector, and `NVIDIA driver` if there is one. `gpu` is the state of the row `GPU`.
pub(super) fn check(report: &mut Report, config: &Config, layout: Option<&Layout>, gpu: State) {
    let Some(layout) = layout else {
        return report.row("probes", State::Degraded, "no cgroups, so no containers");
    };
    let kernel = layout.hierarchy_id(&config.paths.proc).and_then(|hierarchy_id| {
        Kernel::start(&kernel::Options { config, hierarchy_id, change_offsets: |_| () })
    });
    let (mut kernel, kernel_error) = match kernel {
        Ok(kernel) => (Some(kernel), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    // Before what the programs have to say: some collectors attach theirs themselves.
    let started: Vec<_> = COLLECTORS
        .iter()
        .map(|spec| {
            let kernel_error = kernel_error.clone();
            let layers = Default::default();
            let mut context = Context { config, layout, kernel: kernel.as_mut(), kernel_error, layers };
            (
                spec,
                config.is_on(spec.name).then(|| {
                    (spec.start)(&mut context).map(|started| started.limitation().map(str::to_owned))
                }),
            )
        })
        .collect();
    match &kernel_error {
        None => kernel.iter().flat_map(Kernel::outcomes).for_each(|outcome| probe(report, outcome)),
        Some(error) => report.row("probes", without_programs(config), error),
    }
    let driver = nvidia_driver::describe(config);
    for (spec, started) in started {
        let subject = format!("collector {}", spec.name);
        let (state, finding) = match started {
            None => (State::Off, format!("switched off (collectors.{} = false)", spec.name)),
            Some(Err(error)) => failed(spec, config, layout, kernel.is_some(), &error),
            Some(Ok(Some(limitation))) => (State::Degraded, limitation),
            Some(Ok(None)) => works(spec, config, kernel.as_ref(), driver.is_some(), gpu),
        };
        report.row(subject, state, finding);
    }
    if let Some(driver) = driver {
        report.ok("NVIDIA driver", driver);
    }
}

/// How bad it is that there are no kernel programs.
fn without_programs(config: &Config) -> State {
    if config.kernel.enabled { State::Degraded } else { State::Off }
}

fn failed(
    spec: &Spec,
    config: &Config,
    layout: &Layout,
    has_programs: bool,
    error: &anyhow::Error,
) -> (State, String) {
    let state = if spec.name == host_network::SPEC.name && layout.mode() == Mode::V1 {
        State::NotApplicable
    } else if has_programs {
        State::Degraded
    } else {
        without_programs(config)
    };
    (state, format!("{error:#}"))
}

/// A collector that starts may still lack something that only shows with the first container.
fn works(
    spec: &Spec,
    config: &Config,
    kernel: Option<&Kernel>,
    has_driver: bool,
    gpu: State,
) -> (State, String) {
    let name = spec.name;
    if name == nvidia_driver::SPEC.name && !has_driver {
        return (State::NotApplicable, "no NVIDIA driver is loaded; traced as soon as one is".into());
    }
    if name == nvidia_driver::SPEC.name
        && let Some(Err(error)) = kernel.map(|kernel| kernel.method(name))
    {
        return (State::Degraded, format!("{error:#}"));
    }
    if name == nvml::SPEC.name && gpu != State::Ok {
        return (gpu, "see GPU".into());
    }
    if name == oom::SPEC.name && kernel.is_none_or(|kernel| kernel.method(name).is_err()) {
        let finding = "from cgroup files only: the last kill of a container that is killed whole is missed";
        return (without_programs(config), finding.into());
    }
    (State::Ok, spec.summary.into())
}

fn probe(report: &mut Report, outcome: &Outcome) {
    let subject = format!("probe {}", outcome.probe);
    match outcome.method {
        Some(method) if method.misses.is_empty() => report.row(&subject, State::Ok, method.name),
        Some(method) => {
            report.row(&subject, State::Ok, format!("{}; not seen: {}", method.name, method.misses));
        }
        None => report.row(&subject, State::Degraded, outcome.reasons()),
    }
    let fallback = if LOSES_BY_FALLBACK.contains(&outcome.probe) { State::Degraded } else { State::Ok };
    for (method, reason) in outcome.method.map(|_| &outcome.refused).into_iter().flatten() {
        report.detail(&subject, format!("not {method}"), fallback, reason);
    }
    for (program, reason) in &outcome.without {
        report.detail(&subject, format!("without {program}"), State::Degraded, reason);
    }
    for (program, module) in &outcome.waiting {
        report.detail(
            &subject,
            (*program).to_owned(),
            State::Ok,
            format!("attached when {module} is loaded"),
        );
    }
}
