//! Processes that run until one of them exits.

use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::child::{Child, Event, Output};

/// Running processes. Dropping them terminates them in reverse start order.
#[derive(Debug, Default)]
pub(super) struct Processes {
    running: Vec<(&'static str, Child)>,
}

impl Processes {
    /// Starts a process with the output configured in `command`.
    pub(super) fn start(&mut self, name: &'static str, mut command: Command) -> anyhow::Result<()> {
        self.running.push((name, Child::start(&mut command, Output::Unchanged)?));
        Ok(())
    }

    /// Fails if a process has exited.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        for (name, child) in &mut self.running {
            if let Event::End(end) = child.next(Duration::ZERO)? {
                bail!("{name} exited: {end}");
            }
        }
        Ok(())
    }

    /// Waits until a process has exited. Ctrl-C is handled in [`crate::child::signals`].
    pub(super) fn watch(mut self) -> anyhow::Result<()> {
        loop {
            self.check()?;
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        while self.running.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn dropping_the_processes_terminates_them_and_their_descendants() {
        let mut processes = Processes::default();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]);
        processes.start("sh", command).unwrap();
        let group = processes.running[0].1.group();
        processes.check().unwrap();
        drop(processes);
        let started = Instant::now();
        // SAFETY: signal 0 only asks whether the group has a member.
        while unsafe { libc::kill(-group, 0) } == 0 {
            assert!(started.elapsed() < Duration::from_secs(5), "the group was not terminated");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_process_that_exits_is_reported() {
        let mut processes = Processes::default();
        processes.start("false", Command::new("false")).unwrap();
        let started = Instant::now();
        let error = loop {
            if let Err(error) = processes.check() {
                break error;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "the exit was not reported");
        };
        assert!(error.to_string().contains("false exited"), "{error}");
    }
}
