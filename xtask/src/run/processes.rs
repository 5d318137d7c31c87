//! Processes that live and end together, with this one.
//!
//! Each leads a process group of its own, so that a terminal's Ctrl-C reaches this process alone, which then ends
//! them in order. Should this process be killed, the kernel ends them.

use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// What ends a program that runs until told otherwise.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The processes; dropping them ends them, the last started first.
#[derive(Debug)]
pub(super) struct Processes {
    running: Vec<(&'static str, Child)>,
    signals: libc::sigset_t,
}

impl Processes {
    /// From here on Ctrl-C and its like are seen by [`watch`](Self::watch) and [`check`](Self::check) alone.
    pub(super) fn supervise() -> anyhow::Result<Self> {
        let signals = set_of(&SIGNALS);
        // SAFETY: the set is initialized; the old mask is not asked for.
        let blocked =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
        anyhow::ensure!(blocked == 0, "block signals: error {blocked}");
        Ok(Self { running: Vec::new(), signals })
    }

    /// Starts one more.
    pub(super) fn start(&mut self, name: &'static str, mut command: Command) -> anyhow::Result<()> {
        let signals = self.signals;
        command.stdin(Stdio::null()).process_group(0);
        // SAFETY: between fork and exec only two async-signal-safe calls are made, on values copied in.
        unsafe {
            command.pre_exec(move || {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut());
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("start {name}: {command:?}"))?;
        self.running.push((name, child));
        Ok(())
    }

    /// Fails if one has ended, or if this process was told to.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.told_to_end(Duration::ZERO), "interrupted");
        self.check_running()
    }

    /// Waits until this process is told to end, or one of them does.
    pub(super) fn watch(mut self) -> anyhow::Result<()> {
        while !self.told_to_end(Duration::from_millis(250)) {
            self.check_running()?;
        }
        println!("\nStopping");
        Ok(())
    }

    fn check_running(&mut self) -> anyhow::Result<()> {
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait().with_context(|| format!("look after {name}"))? {
                bail!("{name} ended by itself: {status}");
            }
        }
        Ok(())
    }

    /// Waits so long for a signal.
    fn told_to_end(&self, wait: Duration) -> bool {
        let wait =
            libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(wait.subsec_nanos().cast_signed()) };
        // SAFETY: the set and the time live until the call returns; what the signal brings is not asked for.
        unsafe { libc::sigtimedwait(&raw const self.signals, std::ptr::null_mut(), &raw const wait) > 0 }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        while let Some((name, mut child)) = self.running.pop() {
            if let Err(error) = end(&mut child) {
                eprintln!("stop {name}: {error:#}");
            }
        }
    }
}

/// Asks a process and all it started to end, and kills what has not by then.
fn end(child: &mut Child) -> anyhow::Result<()> {
    let group = libc::pid_t::try_from(child.id()).context("read its id")?;
    if child.try_wait().context("look after it")?.is_none() {
        signal_group(group, libc::SIGTERM);
        let started = Instant::now();
        while child.try_wait().context("wait for it")?.is_none() && started.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(20));
        }
        if child.try_wait().context("wait for it")?.is_none() {
            signal_group(group, libc::SIGKILL);
        }
        child.wait().context("wait for it")?;
    }
    Ok(())
}

fn signal_group(group: libc::pid_t, signal: libc::c_int) {
    // SAFETY: kill takes no pointers, and the group is led by a child that was not waited for yet.
    unsafe {
        libc::kill(-group, signal);
    }
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set it is given; sigaddset then only gets signals that exist.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_processes_ends_them_and_what_they_started() {
        let mut processes = Processes::supervise().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]);
        processes.start("sh", command).unwrap();
        let group = libc::pid_t::try_from(processes.running[0].1.id()).unwrap();
        processes.check().unwrap();
        drop(processes);
        let started = Instant::now();
        // SAFETY: signal 0 only asks whether the group has a member.
        while unsafe { libc::kill(-group, 0) } == 0 {
            assert!(started.elapsed() < Duration::from_secs(5), "the group outlived its owner");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed() {
        let mut processes = Processes::supervise().unwrap();
        processes.start("false", Command::new("false")).unwrap();
        let started = Instant::now();
        let error = loop {
            if let Err(error) = processes.check() {
                break error;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "nobody noticed");
        };
        assert!(error.to_string().contains("false ended by itself"), "{error}");
    }
}
