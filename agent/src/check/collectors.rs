//! Starts the kernel programs and the collectors for a moment, and reports what the collectors find on this host.

use super::{Report, RowState};
use crate::{
    collectors::{
        COLLECTORS,
        examination::{Finding, Host, NothingToRead, Verdict},
    },
    config::Config,
    containers::{cgroup::Layout, layers::Layers},
    kernel::attach::Outcome,
    start::{self, Started},
};

/// Makes one row per subject of a collector, per probe and per collector.
pub(super) fn check(report: &mut Report, config: &Config, layout: Option<&Layout>) {
    let Some(layout) = layout else {
        for spec in COLLECTORS {
            let host = Host { config, layout: None, kernel: None, is_on: config.is_on(spec.name) };
            subjects(report, (spec.examine)(&host).subjects);
        }
        return report.row(
            "probes",
            RowState::Degraded,
            "not checked: without cgroups there are no containers",
        );
    };
    let Started { kernel, collectors } = start::all(config, layout, &Layers::default());
    let mut rows = Vec::new();
    for start in &collectors {
        let host = Host {
            config,
            layout: Some(layout),
            kernel: kernel.as_ref().ok(),
            is_on: start.outcome.is_some(),
        };
        let examination = (start.spec.examine)(&host);
        subjects(report, examination.subjects);
        let finding = match &start.outcome {
            None => Finding::switched_off(start.spec.name),
            Some(Err(error)) => refusal(config, kernel.is_ok(), error),
            Some(Ok(started)) => match started.limitation() {
                Some(limitation) => Finding::new(Verdict::Degraded, limitation),
                None => {
                    examination.collector.unwrap_or_else(|| Finding::new(Verdict::Works, start.spec.summary))
                }
            },
        };
        rows.push((start.spec.name, finding));
    }
    match &kernel {
        // After the collectors have started, because some of them attach their own programs.
        Ok(kernel) => kernel.outcomes().iter().for_each(|outcome| probe(report, outcome)),
        Err(error) => report.row("probes", state(without_programs(config)), format!("{error:#}")),
    }
    for (name, finding) in rows {
        report.row(format!("collector {name}"), state(finding.verdict), finding.text);
    }
}

/// Makes one row per subject that a collector reads.
fn subjects(report: &mut Report, subjects: Vec<(String, Finding)>) {
    for (subject, finding) in subjects {
        report.row(subject, state(finding.verdict), finding.text);
    }
}

fn state(verdict: Verdict) -> RowState {
    match verdict {
        Verdict::Works => RowState::Ok,
        Verdict::Degraded => RowState::Degraded,
        Verdict::NotApplicable => RowState::NotApplicable,
        Verdict::Off => RowState::Off,
    }
}

/// The verdict if there are no kernel programs.
fn without_programs(config: &Config) -> Verdict {
    if config.kernel.enabled { Verdict::Degraded } else { Verdict::Off }
}

/// The finding for a collector that cannot start.
fn refusal(config: &Config, has_programs: bool, error: &anyhow::Error) -> Finding {
    let verdict = if error.is::<NothingToRead>() {
        Verdict::NotApplicable
    } else if has_programs {
        Verdict::Degraded
    } else {
        without_programs(config)
    };
    Finding::new(verdict, format!("{error:#}"))
}

fn probe(report: &mut Report, outcome: &Outcome) {
    let subject = format!("probe {}", outcome.probe);
    match outcome.method {
        Some(method) if method.misses.is_empty() => report.row(&subject, RowState::Ok, method.name),
        Some(method) => {
            report.row(&subject, RowState::Ok, format!("{}; not traced: {}", method.name, method.misses));
        }
        None => report.row(&subject, RowState::Degraded, outcome.reasons()),
    }
    if let Some(method) = outcome.method {
        // A fallback that misses nothing is only more expensive.
        let state = if method.misses.is_empty() { RowState::Ok } else { RowState::Degraded };
        for (better, reason) in &outcome.refused {
            report.detail(&subject, format!("not {better}"), state, reason);
        }
    }
    for (program, reason) in &outcome.without {
        report.detail(&subject, format!("without {program}"), RowState::Degraded, reason);
    }
    for (program, module) in &outcome.waiting {
        report.detail(
            &subject,
            (*program).to_owned(),
            RowState::Ok,
            format!("will be attached when {module} is loaded"),
        );
    }
}
