//! A container's life: what a runtime tells of it, and what follows from that and from its cgroup. Pure.

use std::time::{Duration, SystemTime};

use crate::snapshot::{
    lifecycle::{ExitReason, Health, LastExit, Lifecycle, State},
    oom::OomKills,
};

/// How long before the end of a container, or after it, a kill of the OOM killer is noticed that was its end: the
/// runtime hears of the end by itself, the kill is read at a tick.
const OOM_NEAR: Duration = Duration::from_secs(5);
/// Exit codes above this are those of signals.
const SIGNAL_CODES: u32 = 128;
const SIGKILL_CODE: u32 = SIGNAL_CODES + libc::SIGKILL.cast_unsigned();

/// The end of a run, as a runtime tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When.
    pub at: SystemTime,
    /// The main process' exit code.
    pub code: Option<u32>,
}

/// What a runtime tells of one container's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// What it is doing.
    pub state: Option<State>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// What its health check says.
    pub health: Option<Health>,
    /// How often it was started again.
    pub restarts: Option<u64>,
    /// How its last run ended.
    pub last_exit: Option<Exit>,
    /// When the runtime last told that memory ran out.
    pub oom_at: Option<SystemTime>,
    /// Counts what happened to it, so that an answer from before can be told from one from after.
    pub changes: u64,
}

impl Life {
    /// It was made, and has not run yet.
    pub fn created(&mut self, at: Option<SystemTime>) {
        *self = Self { state: Some(State::Created), created_at: at, restarts: Some(0), ..Self::default() };
    }

    /// It was started. `ran_before` where it was before.
    pub fn started(&mut self, ran_before: bool) {
        self.change(State::Running);
        self.restarts = match self.restarts {
            known if ran_before => Some(known.unwrap_or(0) + 1),
            known => known,
        };
        self.health = None;
    }

    /// Its main process has ended.
    pub fn died(&mut self, code: Option<u32>, at: SystemTime) {
        self.change(State::Exited);
        self.last_exit = Some(Exit { at, code });
        self.health = None;
    }

    /// It does something else now.
    pub fn change(&mut self, state: State) {
        self.state = Some(state);
        self.changes += 1;
    }

    /// Its health check says this now.
    pub fn checked(&mut self, health: Health) {
        self.health = Some(health);
        self.changes += 1;
    }
}

/// What the tracker knows of one container.
#[derive(Clone, Copy, Debug)]
pub struct Tracked<'a> {
    /// When its cgroup went; `None` while it is there.
    pub ended_at: Option<SystemTime>,
    /// Whether it runs, as far as its processes show.
    pub running: bool,
    /// When its cgroup was made.
    pub made_at: Option<SystemTime>,
    /// Lives under the same id before this one, as far as seen.
    pub earlier_lives: u64,
    /// What was known of its life before: of this one, or of the one before this.
    pub before: &'a Lifecycle,
    /// Its OOM kills.
    pub oom: OomKills,
}

/// What there is to say.
#[must_use]
pub fn lifecycle(told: Option<&Life>, tracked: Tracked<'_>) -> Lifecycle {
    let told = told.copied().unwrap_or_default();
    let by_cgroup = if tracked.running { State::Running } else { State::Exited };
    let state = match told.state {
        // The cgroup is gone: the news is on its way.
        Some(State::Running | State::Paused) if tracked.ended_at.is_some() => State::Exited,
        Some(state) => state,
        None => by_cgroup,
    };
    let by_cgroup = tracked.ended_at.map(|at| Exit { at, code: None });
    let exit = match (told.last_exit, by_cgroup) {
        // That of an earlier run, while the news of this one's is on its way. Their timestamps are not compared: the clock may
        // have been set in between.
        (Some(_), Some(end)) if told.state == Some(State::Running) => Some(end),
        (exit, end) => exit.or(end),
    };
    let last_exit = exit.map(|exit| assessed(exit, &told, &tracked)).or(tracked.before.last_exit);
    Lifecycle {
        state: Some(state),
        told: told.state.is_some(),
        created_at: told.created_at.or(tracked.made_at),
        restarts: Some(told.restarts.unwrap_or(tracked.earlier_lives)),
        last_exit,
        health: told.health.filter(|_| matches!(state, State::Running | State::Paused)),
    }
}

fn assessed(exit: Exit, told: &Life, tracked: &Tracked<'_>) -> LastExit {
    // Kills of the next life must not change what was found once.
    let known = tracked.before.last_exit.filter(|last| last.at == exit.at && last.code == exit.code);
    if let Some(last) = known.filter(|last| last.reason == Some(ExitReason::OomKilled)) {
        return last;
    }
    let killed_at = match tracked.oom.this_life {
        Some(0) => tracked.oom.last_at,
        // Counted, but maybe before anybody looked at the clock.
        Some(_) => tracked.oom.last_at.or(told.oom_at),
        None => told.oom_at,
    };
    // Two timestamps, of which the runtime's may have been on its way for long: no other clock has both.
    let near = killed_at.is_some_and(|killed_at| {
        #[expect(clippy::disallowed_methods, reason = "no age: how far apart two timestamps are")]
        let apart = killed_at.duration_since(exit.at).unwrap_or_else(|error| error.duration());
        apart <= OOM_NEAR
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
