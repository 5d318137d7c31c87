//! One tracked container: its row, and what the tracker notes beside it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::Container;
use crate::{
    containers::{
        Moment,
        directory::{Names, Reported},
        lifecycle::{self, Life, Tracked},
        naming::Assigned,
    },
    snapshot::{ContainerRow, Totals, identity::Identity},
};

/// How long a new cgroup may be without processes until it is known not to run. A runtime moves the first process in within
/// milliseconds.
const WAIT_FOR_PROCESS: Duration = Duration::from_secs(5);

/// A tracked container with its row.
#[derive(Debug)]
pub struct Entry {
    /// The container.
    pub container: Container,
    /// What is known of it.
    pub row: ContainerRow,
    /// Cgroups nested in it that were entered into the found table.
    pub nested: HashSet<u64>,
    pub(super) first_seen: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) made_at: Option<SystemTime>,
    pub(super) named: bool,
    /// Its display name; `None` before it got one.
    pub(super) assigned: Option<Assigned>,
    /// Runs of the same id before this one.
    pub(super) earlier_lives: u64,
    /// Whether an earlier run was at the same cgroup path.
    pub path_is_proven: bool,
    /// What earlier runs have counted; `None` for the first.
    pub(super) earlier: Option<Arc<Totals>>,
    /// When its last run ended, by the wall clock, and when that was on the monotonic one.
    pub(super) exit_placed: Option<(SystemTime, Instant)>,
    /// The container in whose place Kubernetes made this one, while that is kept.
    pub(super) predecessor: Option<u64>,
    /// The last OOM kill that is in what is reported of its life.
    pub(super) oom_seen: Option<SystemTime>,
    /// Whether the directory was asked to find its name.
    pub(super) reported: bool,
    /// What its runtime reports.
    pub(super) report: Reported,
    /// Whether it competed for its name when names were last given.
    pub(super) competed: bool,
    /// Whether it ran when its life was last assessed.
    pub(super) ran: bool,
    /// Whether processes are in its cgroup, as of the last look; `None` before that, or where it cannot be known.
    pub populated: Option<bool>,
    /// Whether there ever were any.
    pub(super) was_populated: bool,
    /// The number of the first snapshot with its final counters.
    pub(super) final_snapshot: Option<u64>,
}

impl Entry {
    /// Takes in what a runtime reports of its life.
    pub(super) fn fare(&mut self, told: Option<&Life>, now: Moment) {
        let tracked = Tracked {
            ended_at: self.row.ended_at,
            running: self.row.running,
            made_at: self.made_at,
            earlier_lives: self.earlier_lives,
            before: &self.row.life,
            oom: self.row.oom,
        };
        self.row.life = lifecycle::lifecycle(told, tracked);
        self.oom_seen = self.row.oom.last_at;
        self.ran = self.row.running;
        let exit = self.row.life.last_exit.map(|exit| exit.at);
        if exit != self.exit_placed.map(|(at, _)| at) {
            self.exit_placed = exit.map(|at| (at, now.place(at)));
        }
    }

    /// Notes whether there are processes in its cgroup. `None` is not known.
    pub fn look(&mut self, populated: Option<bool>) {
        self.populated = populated;
        self.was_populated |= populated == Some(true);
    }

    /// Decides whether it runs: it has processes, or its runtime says that it runs. A cgroup that was just made is given
    /// a moment for its first process.
    pub(super) fn settle_running(&mut self, now: Moment) {
        let is_new = !self.was_populated
            && now.monotonic.saturating_duration_since(self.first_seen) < WAIT_FOR_PROCESS;
        self.row.running = self.ended.is_none()
            && (self.report == Reported::Running || is_new || self.populated != Some(false));
    }

    /// Whether it competes for its name: it lives, and no runtime says that it has ended.
    pub(super) fn competes(&self) -> bool {
        self.row.is_running() && self.report != Reported::Ended
    }

    /// Grows with the time at which its cgroup was made: the kernel numbers cgroups in that order.
    pub(super) fn age_rank(&self) -> u64 {
        if self.container.cgroup_id == 0 { u64::MAX } else { self.container.cgroup_id }
    }

    pub(super) fn rename(&mut self, names: Option<Names>, assigned: Assigned) {
        let old = &self.container.identity;
        let mut new = Identity { container: assigned.name.clone(), ..(**old).clone() };
        self.assigned = Some(assigned);
        self.named = names.is_some();
        if let Some(names) = names {
            new.runtime = names.runtime;
            new.name = names.name;
            new.image = names.image;
            new.labels = names.labels;
            new.namespace = names.namespace;
            new.pod = names.pod;
            new.started_at = names.started_at.or(self.made_at);
        }
        if new != **old {
            self.container.identity = Arc::new(new);
            self.row.identity = self.container.identity.clone();
        }
    }
}
