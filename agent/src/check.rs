//! `glassbox check`: reports what works on this host, what does not, and why. It loads and attaches the kernel programs
//! for a moment, and starts the collectors, because there is no other way to find out whether they work.
//!
//! [`RowState`], [`Report::exit_code`] and the JSON of [`Report::to_json`] are a stable interface for scripts; see
//! docs/check.md. Each subject has a module, which makes its rows. [`Report::row`] prints each cause only once.

mod agent_at;
mod collectors;
mod json;
mod kernel;
mod listener;
mod privileges;
mod renames;
mod runtimes;
mod sandbox;
mod text;
mod web;

use crate::{config::Config, sandbox::Sandbox};

/// The state of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Works.
    Ok,
    /// Enabled, but it does not work on this host, or only in part.
    Degraded,
    /// Disabled in the configuration.
    Off,
    /// Does not apply to this host, for example because it has no GPU.
    NotApplicable,
    /// The agent cannot run.
    Fatal,
}

impl RowState {
    /// The value of `state` in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Off => "off",
            Self::NotApplicable => "not_applicable",
            Self::Fatal => "fatal",
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was checked. Independent of the host, so scripts can search for it.
    pub subject: String,
    /// The part of the subject; `None` for the subject as a whole.
    pub detail: Option<String>,
    /// The state.
    pub state: RowState,
    /// What was found, or why it does not work and what to do about it.
    pub finding: String,
}

/// A cause that several rows may have in common.
#[derive(Clone, Debug)]
struct Cause {
    text: String,
    subject: String,
}

/// The whole table. Its `Display` is what `glassbox check` prints.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    causes: Vec<Cause>,
}

impl Report {
    /// Minimum length of a cause. Shorter findings are repeated, because a reference would not be shorter.
    const CAUSE_MIN_CHARS: usize = 40;

    /// Checks this host with this configuration. `sandbox` is what restricts this process, if anything does.
    #[must_use]
    pub fn of(config: &Config, sandbox: Option<&Sandbox>) -> Self {
        let mut report = Self::default();
        if config.demo {
            report.ok("DEMO", "GPUs, and the containers that use them, are made up (demo = true)");
        }
        kernel::check(&mut report, config);
        let privileges = privileges::check(&mut report, config);
        if let Some(sandbox) = sandbox {
            sandbox::check(&mut report, sandbox);
        }
        let layout = kernel::cgroups(&mut report, config);
        if let Some(web) = web::check(&mut report, config) {
            listener::check(&mut report, config.listen, &web.settings());
        }
        runtimes::check(&mut report, config, &privileges);
        renames::check(&mut report, &config.containers.rename);
        collectors::check(&mut report, config, layout.as_ref());
        report
    }

    /// The report for a configuration that cannot be used.
    #[must_use]
    pub fn of_unusable_configuration(error: &anyhow::Error) -> Self {
        let mut report = Self::default();
        report.row("configuration", RowState::Fatal, format!("{error:#}"));
        report
    }

    /// False if the agent would exit at start-up.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.rows.iter().all(|row| row.state != RowState::Fatal)
    }

    /// The worst state: [`RowState::Fatal`], [`RowState::Degraded`] or [`RowState::Ok`].
    #[must_use]
    pub fn verdict(&self) -> RowState {
        let has = |state| self.rows.iter().any(|row| row.state == state);
        [RowState::Fatal, RowState::Degraded].into_iter().find(|state| has(*state)).unwrap_or(RowState::Ok)
    }

    /// The exit status of `glassbox check`: 0 if everything that is enabled works, 2 if the agent can run but something
    /// is missing or incomplete, 1 if it cannot run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict() {
            RowState::Fatal => 1,
            RowState::Degraded => 2,
            RowState::Ok | RowState::Off | RowState::NotApplicable => 0,
        }
    }

    /// The rows of the table.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn ok(&mut self, subject: &str, finding: impl Into<String>) {
        self.row(subject, RowState::Ok, finding);
    }

    fn row(&mut self, subject: impl Into<String>, state: RowState, finding: impl Into<String>) {
        self.push(subject.into(), None, state, finding.into());
    }

    fn detail(&mut self, subject: &str, detail: String, state: RowState, finding: impl Into<String>) {
        self.push(subject.to_owned(), Some(detail), state, finding.into());
    }

    fn push(&mut self, subject: String, detail: Option<String>, state: RowState, finding: String) {
        let bad = matches!(state, RowState::Degraded | RowState::Off | RowState::Fatal);
        let referring = if bad { self.refer(&finding) } else { finding.clone() };
        if bad {
            self.cause(&finding, &subject);
        }
        self.rows.push(Row { subject, detail, state, finding: referring });
    }

    /// Registers a cause: in later rows, its text is replaced by a reference to the row of this subject.
    fn cause(&mut self, text: &str, subject: &str) {
        if text.chars().count() >= Self::CAUSE_MIN_CHARS {
            self.causes.push(Cause { text: text.to_owned(), subject: subject.to_owned() });
        }
    }

    /// Replaces a cause in the finding by a reference to the earlier row that contains it.
    fn refer(&self, finding: &str) -> String {
        if let Some(cause) = self.causes.iter().find(|cause| cause.text == finding) {
            return format!("same reason as {}", cause.subject);
        }
        match self.causes.iter().find(|cause| finding.contains(&cause.text)) {
            Some(cause) => finding.replace(&cause.text, &format!("see {}", cause.subject)),
            None => finding.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "CAP_BPF, CAP_PERFMON are missing; start the container with --cap-add BPF";

    #[test]
    fn each_cause_is_printed_once() {
        let mut report = Report::default();
        report.cause(LONG, "privileges");
        report.row("probes", RowState::Degraded, format!("load the kernel programs: {LONG}: EPERM"));
        report.row(
            "collector scheduler",
            RowState::Degraded,
            format!("load the kernel programs: {LONG}: EPERM"),
        );
        report.row("collector oom", RowState::Degraded, LONG);
        let findings: Vec<_> = report.rows().iter().map(|row| row.finding.as_str()).collect();
        assert_eq!(
            findings,
            [
                "load the kernel programs: see privileges: EPERM",
                "same reason as probes",
                "same reason as privileges"
            ]
        );
    }

    #[test]
    fn the_worst_state_determines_the_exit_code_and_off_or_not_applicable_is_no_error() {
        let mut report = Report::default();
        let mut after = |state| {
            report.row("x", state, "y");
            (report.exit_code(), report.can_run())
        };
        assert_eq!(after(RowState::Ok), (0, true));
        assert_eq!(after(RowState::Off), (0, true));
        assert_eq!(after(RowState::NotApplicable), (0, true));
        assert_eq!(after(RowState::Degraded), (2, true));
        assert_eq!(after(RowState::Fatal), (1, false));
        assert_eq!(after(RowState::Ok), (1, false));
    }
}
