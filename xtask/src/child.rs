//! A command that runs: its output line by line, limits on its time, and its end together with all its descendants.

mod group;
mod lines;
mod running;
pub(crate) mod signals;
#[cfg(test)]
mod tests;

use std::fmt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

pub(crate) use running::Child;

/// Which output becomes lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output and standard error, in the order in which they are written.
    Both,
    /// Standard output. Standard error is inherited.
    Stdout,
    /// None: both are what the command was configured with.
    Unchanged,
}

/// When a command is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// It has run for so long.
    pub(crate) total: Duration,
    /// It has written no line for so long.
    pub(crate) silence: Duration,
}

impl Limits {
    pub(crate) const NONE: Self = Self { total: Duration::MAX, silence: Duration::MAX };
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was ended after so long without output.
    Silent(Duration),
    /// It was ended after it had run for so long.
    TimedOut(Duration),
}

impl End {
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => status.fmt(f),
            Self::Silent(time) => write!(f, "no output for {} s", time.as_secs()),
            Self::TimedOut(time) => write!(f, "no end after {} s", time.as_secs()),
        }
    }
}

/// What [`Child::next`] returns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A line of output, without its end.
    Line(String),
    /// Nothing happened.
    Timeout,
    /// The command and its descendants have ended. From then on every call returns this.
    End(End),
}

/// Runs a command to its end and returns its standard output. Its standard error is inherited.
pub(crate) fn output(command: &mut Command, limits: Limits) -> anyhow::Result<String> {
    let mut child = Child::start(command, Output::Stdout)?.with_limits(limits);
    let mut text = String::new();
    let end = child.follow(|line| {
        text += &line;
        text.push('\n');
        Ok(())
    })?;
    child.check(end)?;
    Ok(text)
}
