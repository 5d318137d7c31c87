//! Process groups of running commands.
//!
//! Every command leads its own group, so that its descendants can be terminated with it. The terminal sends Ctrl-C to this
//! process only, which then terminates the groups.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// Time between two checks if a group has ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// All groups in start order.
static RUNNING: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// Starts a command as the leader of a new group.
pub(super) fn spawn(command: &mut Command) -> io::Result<libc::pid_t> {
    command.process_group(0);
    // SAFETY: between fork and exec only prctl is called, a system call without pointers.
    unsafe {
        command.pre_exec(|| {
            // If this process is killed by SIGKILL, it cannot terminate the group.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    let mut running = running();
    let group = libc::pid_t::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
    running.push(group);
    Ok(group)
}

/// Terminates a group with SIGTERM, then with SIGKILL if a process is left after [`GRACE`]. Returns the exit status of
/// the leader.
pub(super) fn end(group: libc::pid_t) -> io::Result<ExitStatus> {
    let status = stop(group);
    // Blocks forever once `end_all` has started: this process is about to end, so the status must not be reported.
    running().retain(|other| *other != group);
    status
}

/// Terminates all groups, newest first. While the guard exists, no command can be started and no thread can return from
/// [`end`].
pub(super) fn end_all(on_begin: impl FnOnce()) -> MutexGuard<'static, Vec<libc::pid_t>> {
    let running = running();
    if !running.is_empty() {
        on_begin();
    }
    for group in running.iter().rev() {
        // The exit status is not needed.
        let _ = stop(*group);
    }
    running
}

/// Waits until the leader of a group has exited without reaping it. [`end`] reaps it: until then the kernel does not reuse
/// its process ID.
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
        // An error means that another thread has reaped the leader. Other processes of the group may be left.
        status = status.or_else(|| reap(group, libc::WNOHANG).transpose());
        match status {
            Some(status) if !is_running(group) => return status,
            _ if started.elapsed() < GRACE => std::thread::sleep(CHECK_INTERVAL),
            _ => break,
        }
    }
    send(group, libc::SIGKILL);
    let status = status.or_else(|| reap(group, 0).transpose());
    status.unwrap_or_else(|| Err(io::Error::other("the process has not exited after SIGKILL")))
}

/// Whether a group has a process that is not a zombie. Process 1 reaps orphans, which may take seconds; in a container
/// it may never happen.
fn is_running(group: libc::pid_t) -> bool {
    let group_text = group.to_string();
    let is_member = |stat: &str| {
        // Fields after the name, which is in parentheses: state, parent, group.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next();
        state != Some("Z") && state != Some("X") && fields.nth(1) == Some(&group_text)
    };
    let stats =
        || std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path().join("stat"));
    send(group, 0) && stats().any(|stat| std::fs::read_to_string(stat).is_ok_and(|stat| is_member(&stat)))
}

/// Sends a signal to a group. Returns false if the group has no process. Signal 0 only checks.
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
