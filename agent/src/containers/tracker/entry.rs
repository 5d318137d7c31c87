//! One tracked container: its row and the tracker's own data about it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::Container;
use crate::{
    containers::{
        Moment,
        lifecycle::{self, ReportedStatus, TrackedRun},
        metadata::{Metadata, RunReport},
        naming::Assigned,
    },
    snapshot::{ContainerRow, Totals, identity::Identity},
};

/// A new cgroup without processes counts as running for this long. A runtime moves the first process into the cgroup
/// within milliseconds.
const WAIT_FOR_PROCESS: Duration = Duration::from_secs(5);

/// A tracked container with its row.
#[derive(Debug)]
pub struct Entry {
    /// The container.
    pub container: Container,
    /// The row that is published.
    pub row: ContainerRow,
    /// Nested cgroups with an entry in the table of found cgroups.
    pub nested: HashSet<u64>,
    pub(super) first_seen: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) made_at: Option<SystemTime>,
    pub(super) named: bool,
    /// The display name; `None` before the first assignment.
    pub(super) assigned: Option<Assigned>,
    /// The number of earlier runs with the same ID.
    pub(super) earlier_runs: u64,
    /// True if an earlier run had the same cgroup path.
    pub path_is_proven: bool,
    /// The counters of earlier runs; `None` for the first run.
    pub(super) earlier: Option<Arc<Totals>>,
    /// The last exit, by the wall clock and by the monotonic clock.
    pub(super) exit_placed: Option<(SystemTime, Instant)>,
    /// The container that Kubernetes replaced by this one, while its entry is kept.
    pub(super) predecessor: Option<u64>,
    /// The last OOM kill that the current status accounts for.
    pub(super) oom_counted_at: Option<SystemTime>,
    /// True if a metadata lookup of this container was requested.
    pub(super) lookup_requested: bool,
    /// Whether the container runs, according to its runtime.
    pub(super) report: RunReport,
    /// True if the container competed for its name when names were last assigned.
    pub(super) competed: bool,
    /// True if the container ran when its status was last updated.
    pub(super) ran: bool,
    /// Whether the cgroup has processes, as of the last check. `None` before the first check, or if that is unknown.
    pub populated: Option<bool>,
    /// True if the cgroup ever had processes.
    pub(super) was_populated: bool,
    /// The number of the first snapshot with the container's final counters.
    pub(super) final_snapshot: Option<u64>,
}

impl Entry {
    /// Updates the status from what the runtime reports.
    pub(super) fn update_status(&mut self, reported: Option<&ReportedStatus>, now: Moment) {
        let tracked = TrackedRun {
            ended_at: self.row.ended_at,
            running: self.row.running,
            made_at: self.made_at,
            earlier_runs: self.earlier_runs,
            before: &self.row.status,
            oom: self.row.oom,
        };
        self.row.status = lifecycle::lifecycle(reported, tracked);
        self.oom_counted_at = self.row.oom.last_at;
        self.ran = self.row.running;
        let exit = self.row.status.last_exit.map(|exit| exit.at);
        if exit != self.exit_placed.map(|(at, _)| at) {
            self.exit_placed = exit.map(|at| (at, now.place(at)));
        }
    }

    /// Records whether the cgroup has processes. `None` means unknown.
    pub fn look(&mut self, populated: Option<bool>) {
        self.populated = populated;
        self.was_populated |= populated == Some(true);
    }

    /// Decides whether the container runs: it has processes, or its runtime reports that it runs. A new cgroup counts
    /// as running for a moment, until it gets its first process.
    pub(super) fn update_running(&mut self, now: Moment) {
        let is_new = !self.was_populated
            && now.monotonic.saturating_duration_since(self.first_seen) < WAIT_FOR_PROCESS;
        self.row.running = self.ended.is_none()
            && (self.report == RunReport::Running || is_new || self.populated != Some(false));
    }

    /// True if the container competes for its name: it runs, and no runtime reports that it has exited.
    pub(super) fn competes(&self) -> bool {
        self.row.is_running() && self.report != RunReport::Ended
    }

    /// Grows with the time at which the cgroup was created, because the kernel numbers cgroups in that order.
    pub(super) fn age_rank(&self) -> u64 {
        if self.container.cgroup_id == 0 { u64::MAX } else { self.container.cgroup_id }
    }

    pub(super) fn rename(&mut self, names: Option<Metadata>, assigned: Assigned) {
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
