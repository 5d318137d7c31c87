//! A background command with scheduling policy `SCHED_IDLE`. Its output goes to a log until the caller waits for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::child::{Child, End, Event, Output};

/// How often the log and the command are checked while waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A background command.
pub(crate) struct Idle {
    child: Child,
    log: PathBuf,
}

impl Idle {
    /// Starts a command with its output in the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = output.try_clone().context("duplicate a descriptor")?;
        command.stdout(output).stderr(errors);
        // SAFETY: the function only makes a system call, which is allowed between fork and exec.
        unsafe { command.pre_exec(set_idle_policy) };
        let child = Child::start(command, Output::Unchanged)?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Waits for the command and copies its output, past and future, to `to`.
    pub(crate) fn wait(mut self, to: &mut impl Write) -> anyhow::Result<End> {
        let mut output = File::open(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        loop {
            // Before the copy, so that the last copy is complete.
            let event = self.child.next(POLL_INTERVAL)?;
            io::copy(&mut output, to)
                .and_then(|_| to.flush())
                .context("copy the output of the background command")?;
            if let Event::End(end) = event {
                return Ok(end);
            }
        }
    }
}

/// Sets the policy of this process.
fn set_idle_policy() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives until the call returns; 0 is this process.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_command_has_the_idle_policy_and_its_exit_status_is_returned() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sh");
        // Field 41 is the policy; 5 is SCHED_IDLE.
        command.args(["-c", "echo output; cut -d' ' -f41 /proc/self/stat; exit 3"]);
        let mut output = Vec::new();
        let end = Idle::start(&mut command, &log).unwrap().wait(&mut output).unwrap();
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)), "{end}");
        assert_eq!(output, b"output\n5\n");
    }
}
