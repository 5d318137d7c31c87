//! A command that was started, and its events.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{End, Event, Limits, Output, group, lines};

/// Capacity of the queue between the pipe and the caller. If the queue is full, the command blocks.
pub(super) const QUEUE_LINES: usize = 1024;
/// Time without output after which the end of a command that has exited is reported although the pipe is still open,
/// for example in a daemon that the command started.
const DRAIN: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    Exited,
}

/// A running command in its own process group. Dropping it terminates the group.
#[derive(Debug)]
pub(crate) struct Child {
    /// The command, for error messages.
    command: String,
    group: libc::pid_t,
    messages: Receiver<Message>,
    limits: Limits,
    log: Option<File>,
    started: Instant,
    last_line: Instant,
    /// Set once the command has exited. Lines may follow.
    status: Option<ExitStatus>,
    end: Option<End>,
}

impl Child {
    /// Starts a command without standard input.
    pub(crate) fn start(command: &mut Command, output: Output) -> anyhow::Result<Self> {
        let (sender, messages) = sync_channel(QUEUE_LINES);
        command.stdin(Stdio::null());
        if output != Output::Unchanged {
            let (reader, writer) = std::io::pipe().context("make a pipe")?;
            if output == Output::Both {
                command.stderr(writer.try_clone().context("duplicate a pipe")?);
            }
            command.stdout(writer);
            let sender = sender.clone();
            std::thread::spawn(move || {
                lines::split(reader, |line| sender.send(Message::Line(line)).is_ok());
            });
        }
        let spawned = group::spawn(command);
        // The reader gets EOF only after this process has closed its write ends, too.
        if output != Output::Unchanged {
            command.stdout(Stdio::null());
        }
        if output == Output::Both {
            command.stderr(Stdio::null());
        }
        let group = spawned.with_context(|| format!("start {command:?}"))?;
        std::thread::spawn(move || {
            group::wait_for_exit(group);
            // An error means that the child was dropped.
            let _ = sender.send(Message::Exited);
        });
        let started = Instant::now();
        Ok(Self {
            command: format!("{command:?}"),
            group,
            messages,
            limits: Limits::NONE,
            log: None,
            started,
            last_line: started,
            status: None,
            end: None,
        })
    }

    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes every line to a file as well.
    pub(crate) fn with_log(mut self, path: &Path) -> anyhow::Result<Self> {
        self.log = Some(File::create(path).with_context(|| format!("create {}", path.display()))?);
        Ok(self)
    }

    /// The process group of the command.
    #[cfg(test)]
    pub(crate) fn group(&self) -> libc::pid_t {
        self.group
    }

    /// Returns the next event, or [`Event::Timeout`] after `wait`.
    pub(crate) fn next(&mut self, wait: Duration) -> anyhow::Result<Event> {
        if let Some(end) = self.end {
            return Ok(Event::End(end));
        }
        let deadline = Instant::now().checked_add(wait);
        loop {
            let time = self.started.elapsed();
            if time >= self.limits.total {
                return self.stop(End::TimedOut(time));
            }
            let silence = if self.status.is_some() { DRAIN } else { self.limits.silence };
            let silence_left = silence.saturating_sub(self.last_line.elapsed());
            let wait_left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            match self.messages.recv_timeout(wait_left.min(silence_left).min(self.limits.total - time)) {
                Ok(Message::Line(line)) => {
                    self.last_line = Instant::now();
                    if let Some(log) = &mut self.log {
                        writeln!(log, "{line}")
                            .with_context(|| format!("write the log of {}", self.command))?;
                    }
                    return Ok(Event::Line(line));
                }
                Ok(Message::Exited) => {
                    self.end_group()?;
                    self.last_line = Instant::now();
                }
                // Checked only if the queue is empty: the command is not silent if this process reads slowly.
                Err(error) => {
                    let silent = self.last_line.elapsed();
                    if error == RecvTimeoutError::Disconnected || silent >= silence {
                        return self.stop(End::Silent(silent));
                    }
                }
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(Event::Timeout);
            }
        }
    }

    /// Calls `take` with every line until the command has ended.
    pub(crate) fn follow(
        &mut self,
        mut take: impl FnMut(String) -> anyhow::Result<()>,
    ) -> anyhow::Result<End> {
        loop {
            match self.next(Duration::MAX)? {
                Event::Line(line) => take(line)?,
                Event::Timeout => {}
                Event::End(end) => return Ok(end),
            }
        }
    }

    /// Returns an error with the command unless it succeeded.
    pub(crate) fn check(&self, end: End) -> anyhow::Result<()> {
        anyhow::ensure!(end.is_success(), "{end}: {}", self.command);
        Ok(())
    }

    /// Terminates the command unless it has exited. The exit status takes precedence over `otherwise`.
    fn stop(&mut self, otherwise: End) -> anyhow::Result<Event> {
        let end = self.status.map_or(otherwise, End::Exited);
        self.end_group()?;
        self.end = Some(end);
        Ok(Event::End(end))
    }

    fn end_group(&mut self) -> anyhow::Result<()> {
        if self.status.is_none() {
            let status = group::end(self.group).with_context(|| format!("terminate {}", self.command))?;
            self.status = Some(status);
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.end_group() {
            eprintln!("{error:#}");
        }
    }
}
