//! A container to look at, and what the tick notes about it for the thread.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::snapshot::{ContainerRow, jobs::Outcome, programs::result};

/// A container to look at.
#[derive(Debug)]
pub(super) struct Subject {
    /// The container ID.
    pub(super) id: String,
    /// The path of its cgroup.
    pub(super) cgroup_path: String,
    /// When it was first seen.
    pub(super) since: Instant,
    /// True if the agent saw its start. So no agent before this one has counted its jobs.
    pub(super) is_new: bool,
    noted: Mutex<Noted>,
}

/// What the last tick noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    pub(super) signs: Signs,
    /// CPU time of its processes so far; `None` if that is unknown.
    pub(super) cpu_time: Option<Duration>,
    /// How often this was noted.
    pub(super) ticks: u64,
}

impl Subject {
    pub(super) fn new(id: String, cgroup_path: String, is_new: bool) -> Self {
        Self { id, cgroup_path, since: Instant::now(), is_new, noted: Mutex::default() }
    }

    /// Called once per tick, and at the start and the end of the container.
    pub(super) fn note(&self, signs: Signs, cpu_time: Option<Duration>) {
        let mut noted = self.lock();
        *noted = Noted { signs, cpu_time, ticks: noted.ticks + 1 };
    }

    /// What the last tick noted.
    pub(super) fn noted(&self) -> Noted {
        *self.lock()
    }

    /// It is held only while it is copied.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What other collectors have counted in a container, and what may be the reason of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Allocations of GPU memory that the driver has refused.
    pub(super) refused: u64,
    /// Processes of ffmpeg that ended with an error. `None` if they are not counted, or none was started.
    pub(super) errors: Option<u64>,
    /// Processes of ffmpeg that ended by a signal.
    pub(super) signals: u64,
    /// The jobs of the Gradio page; `None` if it has had none, or they are not followed.
    pub(super) page: Option<PageJobs>,
}

/// The jobs of a Gradio page. A job of FaceFusion that was started on the page runs within one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageJobs {
    /// Jobs that have not ended.
    pub(super) in_flight: u64,
    /// Jobs that ended with an exception.
    pub(super) errors: u64,
}

impl Signs {
    /// The signs in a row that the other collectors have filled.
    pub(super) fn of(row: &ContainerRow) -> Self {
        let ffmpeg = row.programs.iter().find(|program| &*program.name == "ffmpeg");
        let exits = |result: usize| ffmpeg.map(|ffmpeg| ffmpeg.counters.exits[result]);
        let page = row.jobs.as_ref().map(|jobs| PageJobs {
            in_flight: jobs.in_flight.total(),
            errors: jobs.functions.iter().map(|one| one.counters.ended[Outcome::Error as usize]).sum(),
        });
        Self {
            refused: row.nvidia_driver.as_ref().map_or(0, |driver| driver.counters.refused()),
            errors: exits(result::ERROR),
            signals: exits(result::SIGNAL).unwrap_or(0),
            page,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::snapshot::{
        identity::Identity,
        nvidia_driver::{DriverCounters, DriverUsage},
    };

    #[test]
    fn both_errors_of_a_refused_allocation_are_signs() {
        let mut row = ContainerRow::new(Arc::new(Identity::default()), SystemTime::UNIX_EPOCH);
        let counters = DriverCounters {
            failed_no_memory: 2,
            failed_insufficient_resources: 3,
            ..DriverCounters::default()
        };
        row.nvidia_driver = Some(Box::new(DriverUsage { counters, ..DriverUsage::default() }));
        assert_eq!(Signs::of(&row).refused, 5);
    }
}
