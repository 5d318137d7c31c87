//! The process groups of commands that run. Each is ended with this process.
//!
//! A command leads a group of its own, so that all its descendants can be ended with it, and a terminal's Ctrl-C reaches
//! this process alone, which then ends the groups.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// Time between two checks for the end of a group.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// All groups, in the order of their start.
static RUNNING: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// Starts a command as the leader of a new group and returns the group.
pub(super) fn spawn(command: &mut Command) -> io::Result<libc::pid_t> {
    command.process_group(0);
    // SAFETY: between fork and exec only prctl is called, a system call without pointers.
    unsafe {
        command.pre_exec(|| {
            // For the case that this process is killed: it cannot end the group then.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    let mut running = running();
    let group = libc::pid_t::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
    running.push(group);
    Ok(group)
}

/// Ends a group: SIGTERM, and SIGKILL if a process is left after [`GRACE`]. Returns the exit status of the leader.
pub(super) fn end(group: libc::pid_t) -> io::Result<ExitStatus> {
    let status = stop(group);
    // Blocks for good once `end_all` has begun: how a command ended is of no interest then.
    running().retain(|other| *other != group);
    status
}

/// Ends all groups, the newest first. No command can be started while the guard lives, and no other thread learns how
/// a command ended.
pub(super) fn end_all(on_begin: impl FnOnce()) -> MutexGuard<'static, Vec<libc::pid_t>> {
    let running = running();
    if !running.is_empty() {
        on_begin();
    }
    for group in running.iter().rev() {
        // Fails only for a group that has ended.
        let _ = stop(*group);
    }
    running
}

/// Waits until the leader of a group has exited, and leaves it to [`end`] to reap it: until then the kernel does not give
/// its process ID to another process.
pub(super) fn wait_for_exit(group: libc::pid_t) {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    let options = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: the kernel writes to `info`, which lives until the call returns and is not read.
    while unsafe { libc::waitid(libc::P_PID, group.cast_unsigned(), info.as_mut_ptr(), options) } != 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

fn running() -> MutexGuard<'static, Vec<libc::pid_t>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(group: libc::pid_t) -> io::Result<ExitStatus> {
    send(group, libc::SIGTERM);
    let (started, mut status) = (Instant::now(), None);
    loop {
        if status.is_none() {
            status = reap(group, libc::WNOHANG)?;
        }
        if let Some(status) = status
            && !is_running(group)
        {
            return Ok(status);
        }
        if started.elapsed() >= GRACE {
            send(group, libc::SIGKILL);
            let status = if status.is_none() { reap(group, 0)? } else { status };
            return status.ok_or_else(|| io::Error::other("the process has not ended"));
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
}

/// Whether a group has a process that is not a zombie. Orphans are reaped by process 1, which may take seconds or, in a
/// container, never do so.
fn is_running(group: libc::pid_t) -> bool {
    let group_text = group.to_string();
    let is_member = |stat: &str| {
        // After the name, which is in parentheses: state, parent, group.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next();
        state != Some("Z") && state != Some("X") && fields.nth(1) == Some(&group_text)
    };
    let stats =
        || std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path().join("stat"));
    send(group, 0) && stats().any(|stat| std::fs::read_to_string(stat).is_ok_and(|stat| is_member(&stat)))
}

/// Sends a signal to a group; false if the group has no process. Signal 0 only checks.
fn send(group: libc::pid_t, signal: libc::c_int) -> bool {
    // SAFETY: kill takes no pointers.
    unsafe { libc::kill(-group, signal) == 0 }
}

fn reap(leader: libc::pid_t, options: libc::c_int) -> io::Result<Option<ExitStatus>> {
    loop {
        let mut status = 0;
        // SAFETY: the status lives until the call returns.
        match unsafe { libc::waitpid(leader, &raw mut status, options) } {
            0 => return Ok(None),
            1.. => return Ok(Some(ExitStatus::from_raw(status))),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
