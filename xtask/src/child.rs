//! Running commands: output as lines, limits on silence and total time, and termination of the whole process group.

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

/// Which output is captured as lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output and standard error, in the order of the writes.
    Both,
    /// Standard output. Standard error is inherited.
    Stdout,
    /// None. Both streams stay as configured in the command.
    Unchanged,
}

/// Limits after which a command is terminated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Total run time.
    pub(crate) total: Duration,
    /// Time without a line of output.
    pub(crate) silence: Duration,
}

impl Limits {
    pub(crate) const NONE: Self = Self { total: Duration::MAX, silence: Duration::MAX };
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The command exited.
    Exited(ExitStatus),
    /// The command was terminated after this time without output.
    Silent(Duration),
    /// The command was terminated after this run time.
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
            Self::TimedOut(time) => write!(f, "not finished after {} s", time.as_secs()),
        }
    }
}

/// What [`Child::next`] returns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A line of output without the line ending.
    Line(String),
    /// No line was written and the command has not ended.
    Timeout,
    /// The command and its process group have ended. Every later call returns this, too.
    End(End),
}

/// Runs a command to its end and returns its standard output. Standard error is inherited.
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
