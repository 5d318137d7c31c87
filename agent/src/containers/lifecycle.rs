//! Derives the status of a container from what its runtime reports and from its cgroup. Pure.

use std::time::{Duration, SystemTime};

use crate::snapshot::{
    lifecycle::{ContainerState, ContainerStatus, ExitReason, Health, LastExit},
    oom::OomKills,
};

/// An OOM kill within this time of a container's exit is considered the cause of the exit: the runtime reports the exit
/// when it happens, but the kill is read at a tick.
const OOM_WINDOW: Duration = Duration::from_secs(5);
/// Exit codes above this value mean that a signal ended the process.
const SIGNAL_CODES: u32 = 128;
const SIGKILL_CODE: u32 = SIGNAL_CODES + libc::SIGKILL.cast_unsigned();

/// The exit of a run, as the runtime reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The time of the exit.
    pub at: SystemTime,
    /// The exit code of the main process.
    pub code: Option<u32>,
}

/// What a runtime reports about the status of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedStatus {
    /// The current state.
    pub state: Option<ContainerState>,
    /// When the container was created.
    pub created_at: Option<SystemTime>,
    /// The result of the health check.
    pub health: Option<Health>,
    /// The number of restarts.
    pub restarts: Option<u64>,
    /// The exit of the last run.
    pub last_exit: Option<Exit>,
    /// When the runtime last reported an OOM event.
    pub oom_at: Option<SystemTime>,
    /// Counts changes, so that a response from before a change can be recognized as outdated.
    pub changes: u64,
}

impl ReportedStatus {
    /// Records that the container was created and has not run yet.
    pub fn created(&mut self, at: Option<SystemTime>) {
        *self = Self {
            state: Some(ContainerState::Created),
            created_at: at,
            restarts: Some(0),
            ..Self::default()
        };
    }

    /// Records that the container was started. `ran_before` is true if this was a restart.
    pub fn started(&mut self, ran_before: bool) {
        self.change(ContainerState::Running);
        self.restarts = match self.restarts {
            known if ran_before => Some(known.unwrap_or(0) + 1),
            known => known,
        };
        self.health = None;
    }

    /// Records that the main process has exited.
    pub fn died(&mut self, code: Option<u32>, at: SystemTime) {
        self.change(ContainerState::Exited);
        self.last_exit = Some(Exit { at, code });
        self.health = None;
    }

    /// Sets the state and counts the change.
    pub fn change(&mut self, state: ContainerState) {
        self.state = Some(state);
        self.changes += 1;
    }

    /// Sets the result of the health check and counts the change.
    pub fn checked(&mut self, health: Health) {
        self.health = Some(health);
        self.changes += 1;
    }
}

/// What the tracker has recorded about one container.
#[derive(Clone, Copy, Debug)]
pub struct TrackedRun<'a> {
    /// When the cgroup was removed; `None` while it exists.
    pub ended_at: Option<SystemTime>,
    /// True if the container runs, according to its processes.
    pub running: bool,
    /// When the cgroup was created.
    pub made_at: Option<SystemTime>,
    /// The number of earlier observed runs with the same ID.
    pub earlier_runs: u64,
    /// The previous status, of this run or of the one before.
    pub before: &'a ContainerStatus,
    /// The OOM kills.
    pub oom: OomKills,
}

/// Merges the reported and the tracked data into the status of the container.
#[must_use]
pub fn lifecycle(reported: Option<&ReportedStatus>, tracked: TrackedRun<'_>) -> ContainerStatus {
    let reported = reported.copied().unwrap_or_default();
    let by_cgroup = if tracked.running { ContainerState::Running } else { ContainerState::Exited };
    let state = match reported.state {
        // The cgroup is gone, but the runtime's exit event has not arrived yet.
        Some(ContainerState::Running | ContainerState::Paused) if tracked.ended_at.is_some() => {
            ContainerState::Exited
        }
        Some(state) => state,
        None => by_cgroup,
    };
    let by_cgroup = tracked.ended_at.map(|at| Exit { at, code: None });
    let exit = match (reported.last_exit, by_cgroup) {
        // The reported exit is that of an earlier run; the event for this one has not arrived yet. Timestamps are not
        // compared, because the clock may have been set in between.
        (Some(_), Some(end)) if reported.state == Some(ContainerState::Running) => Some(end),
        (exit, end) => exit.or(end),
    };
    let last_exit = exit.map(|exit| assess_exit(exit, &reported, &tracked)).or(tracked.before.last_exit);
    ContainerStatus {
        state: Some(state),
        reported: reported.state.is_some(),
        created_at: reported.created_at.or(tracked.made_at),
        restarts: Some(reported.restarts.unwrap_or(tracked.earlier_runs)),
        last_exit,
        health: reported.health.filter(|_| matches!(state, ContainerState::Running | ContainerState::Paused)),
    }
}

fn assess_exit(exit: Exit, reported: &ReportedStatus, tracked: &TrackedRun<'_>) -> LastExit {
    // OOM kills of the next run must not change a reason that was already found.
    let known = tracked.before.last_exit.filter(|last| last.at == exit.at && last.code == exit.code);
    if let Some(last) = known.filter(|last| last.reason == Some(ExitReason::OomKilled)) {
        return last;
    }
    let killed_at = match tracked.oom.this_run {
        Some(0) => tracked.oom.last_at,
        // The kill was counted, but maybe before its time could be recorded.
        Some(_) => tracked.oom.last_at.or(reported.oom_at),
        None => reported.oom_at,
    };
    // Wall-clock timestamps are compared, because the runtime's may have been delayed and no other clock has both.
    let near = killed_at.is_some_and(|killed_at| {
        #[expect(clippy::disallowed_methods, reason = "the distance of two timestamps, not an age")]
        let apart = killed_at.duration_since(exit.at).unwrap_or_else(|error| error.duration());
        apart <= OOM_WINDOW
    });
    let killed = matches!(exit.code, None | Some(SIGKILL_CODE));
    let reason = if near && killed { Some(ExitReason::OomKilled) } else { exit.code.map(reason) };
    LastExit { at: exit.at, code: exit.code, reason }
}

fn reason(code: u32) -> ExitReason {
    match code {
        0 => ExitReason::Completed,
        _ => code.checked_sub(SIGNAL_CODES).and_then(signal).map_or(ExitReason::Error, ExitReason::Signal),
    }
}

/// The name of a signal that ends processes.
fn signal(number: u32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 24] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGSTKFLT, "SIGSTKFLT"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGVTALRM, "SIGVTALRM"),
        (libc::SIGPROF, "SIGPROF"),
        (libc::SIGIO, "SIGIO"),
        (libc::SIGPWR, "SIGPWR"),
        (libc::SIGSYS, "SIGSYS"),
        (libc::SIGCHLD, "SIGCHLD"),
    ];
    NAMES.iter().find(|(known, _)| known.cast_unsigned() == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests;
