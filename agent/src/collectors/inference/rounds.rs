//! Rounds over all containers: what is due is read, until the budget is used up.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    BUDGET, devices,
    files::open_models,
    loads::Loads,
    maps::Mapped,
    processes,
    reading::{Reading, Shared, Subject, Subjects},
};
use crate::{
    collectors::thread::Stop,
    containers::cgroup::Layout,
    snapshot::inference::{Inference, Libraries},
};

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Time between two rounds while models are read.
const READING_ROUND: Duration = Duration::from_millis(100);
/// Time between two rounds while no container has GPUs, is new or loads models, and nothing is due soon.
const IDLE_ROUND: Duration = Duration::from_secs(5);
/// Minimum time between two rounds.
const REST: Duration = Duration::from_millis(10);
/// Time between two looks at device nodes and mappings, and at open files of a container that is not young.
const LOOK: Duration = Duration::from_secs(30);
/// A container is young for this long. Most applications load their models when they start.
const YOUNG: Duration = Duration::from_secs(600);
/// A runtime needs some tenths of a second from creating a container's cgroup until the first process is in the
/// container's root. Until then, the device nodes are those of the host.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// Until two looks at the device nodes have given the same number.
const CONFIRM: Duration = Duration::from_secs(1);
/// Mappings of a young container are read this often, because it loads its libraries then.
const YOUNG_LOOK: Duration = Duration::from_secs(5);
/// A container is young for its mappings for this long.
const YOUNG_MAPS: Duration = Duration::from_secs(60);

/// State of the rounds.
pub(super) struct Rounds {
    layout: Layout,
    proc_root: PathBuf,
    shared: Shared,
    known: HashMap<u64, Known>,
    /// The containers of the last round.
    subjects: Arc<Subjects>,
    /// Begin of the current second.
    second: Instant,
    with_gpus: Turns,
    without: Turns,
}

/// Containers of one kind, which are looked at in turn.
#[derive(Default)]
struct Turns {
    /// Time used in the current second.
    used: Duration,
    /// The container that was looked at last. The next round begins after it.
    after: Option<u64>,
}

/// State of one container.
#[derive(Default)]
struct Known {
    /// The number of GPUs at the last look, and whether the look before had the same.
    gpus: Option<(u32, bool)>,
    devices_at: Option<Instant>,
    maps_at: Option<Instant>,
    files_at: Option<Instant>,
    processes: Vec<String>,
    processes_at: Option<Instant>,
    libraries: Libraries,
    has_mapped_model: bool,
    loads: Loads,
}

/// Whether something that was last done at a time is due again.
fn is_due(last: Option<Instant>, now: Instant, period: Duration) -> bool {
    last.is_none_or(|at| now.duration_since(at) >= period)
}

impl Rounds {
    pub(super) fn new(layout: Layout, proc_root: PathBuf, shared: Shared) -> Self {
        let (known, subjects, with_gpus, without) = Default::default();
        Self { layout, proc_root, shared, known, subjects, second: Instant::now(), with_gpus, without }
    }

    /// Rounds until the thread has to end.
    pub(super) fn run(&mut self, stop: &Stop) {
        loop {
            self.round();
            if stop.rest(REST) || stop.wait(self.pause()) {
                return;
            }
        }
    }

    /// Time until the next round.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        if self.known.values().any(|known| known.loads.is_loading()) {
            READING_ROUND
        } else if self.subjects.keys().any(|key| self.may_be_due(*key, now + IDLE_ROUND)) {
            ROUND
        } else {
            IDLE_ROUND
        }
    }

    /// Looks at the containers that are due, and publishes the result.
    pub(super) fn round(&mut self) {
        let begun = Instant::now();
        if begun.duration_since(self.second) >= ROUND {
            self.second = begun;
            (self.with_gpus.used, self.without.used) = (Duration::ZERO, Duration::ZERO);
        }
        self.follow();
        let due = self.subjects.keys().copied().filter(|key| self.may_be_due(*key, begun));
        let (without, with_gpus): (Vec<_>, Vec<_>) = due.partition(|key| self.has_none(*key));
        // Containers without GPUs are many, and any of them may grow all the time.
        let turns = std::mem::take(&mut self.with_gpus);
        self.with_gpus = self.take_turns(with_gpus, turns, BUDGET);
        let turns = std::mem::take(&mut self.without);
        self.without = self.take_turns(without, turns, BUDGET / 2);
        let containers =
            self.known.iter().filter_map(|(key, known)| Some((*key, known.inference()?))).collect();
        self.shared.put(Reading { taken: Instant::now(), containers });
    }

    /// Looks at these containers until the time of this second is used up.
    fn take_turns(&mut self, mut keys: Vec<u64>, mut turns: Turns, budget: Duration) -> Turns {
        keys.sort_unstable();
        let first = turns.after.map_or(0, |after| keys.partition_point(|key| *key <= after));
        keys.rotate_left(first);
        let subjects = Arc::clone(&self.subjects);
        for key in keys {
            if turns.used >= budget {
                break;
            }
            if let Some(subject) = subjects.get(&key) {
                let now = Instant::now();
                self.look_at(key, subject, now);
                turns.used += now.elapsed();
                turns.after = Some(key);
            }
        }
        turns
    }

    /// True for a container that is known to have no GPUs.
    fn has_none(&self, key: u64) -> bool {
        self.known.get(&key).is_some_and(Known::has_none)
    }

    /// Forgets containers that have ended.
    fn follow(&mut self) {
        let subjects = self.shared.subjects();
        if !Arc::ptr_eq(&self.subjects, &subjects) {
            self.known.retain(|key, _| subjects.contains_key(key));
            // After many containers have ended, the table gives their memory back.
            self.known.shrink_to(2 * subjects.len());
            self.subjects = subjects;
        }
    }

    /// False if there is nothing to look at: the container has no GPUs, its memory has not grown, it loads no model, and its
    /// device nodes are not due. That is the case for most containers.
    fn may_be_due(&self, key: u64, now: Instant) -> bool {
        let (Some(known), Some(subject)) = (self.known.get(&key), self.subjects.get(&key)) else {
            return true;
        };
        !known.has_none()
            || known.loads.is_loading()
            || subject.has_grown.load(Ordering::Relaxed)
            || is_due(known.devices_at, now, LOOK)
    }

    pub(super) fn look_at(&mut self, key: u64, subject: &Subject, now: Instant) {
        let age = now.saturating_duration_since(subject.since);
        if age < DEBOUNCE {
            return;
        }
        let (layout, proc_root) = (&self.layout, &self.proc_root);
        let known = self.known.entry(key).or_default();
        let is_confirmed = known.gpus.is_some_and(|(_, confirmed)| confirmed);
        if is_due(known.devices_at, now, if is_confirmed { LOOK } else { CONFIRM }) {
            known.devices_at = Some(now);
            known.processes = processes::largest(layout, proc_root, &subject.cgroup_path);
            known.processes_at = Some(now);
            let given = known.processes.iter().find_map(|process| devices::given(proc_root, process));
            known.gpus = given.map(|given| (given, known.gpus.is_some_and(|(before, _)| before == given)));
        }
        let Some((given, true)) = known.gpus else { return };
        let has_gpus = given > 0;
        let maps_period = if age < YOUNG_MAPS { YOUNG_LOOK } else { LOOK };
        let maps_are_due = has_gpus && is_due(known.maps_at, now, maps_period);
        let files_period = if known.loads.is_loading() {
            Duration::ZERO
        } else if (has_gpus && age < YOUNG) || subject.has_grown.load(Ordering::Relaxed) {
            ROUND
        } else if has_gpus {
            LOOK
        } else {
            Duration::MAX
        };
        let files_are_due = is_due(known.files_at, now, files_period);
        if (maps_are_due || files_are_due) && is_due(known.processes_at, now, ROUND) {
            known.processes = processes::largest(layout, proc_root, &subject.cgroup_path);
            known.processes_at = Some(now);
        }
        if files_are_due {
            known.files_at = Some(now);
            subject.has_grown.store(false, Ordering::Relaxed);
            let mut files = Vec::new();
            known.processes.iter().for_each(|process| open_models(proc_root, process, &mut files));
            known.loads.sample(now, &files, |process| processes::io(proc_root, process));
        }
        if maps_are_due {
            known.maps_at = Some(now);
            let mut mapped = Mapped::default();
            known.processes.iter().for_each(|process| mapped.read(proc_root, process));
            known.libraries = mapped.libraries;
            known.has_mapped_model |= mapped.model;
        }
    }

    /// When the files of a container were last looked at.
    #[cfg(test)]
    pub(super) fn files_looked_at(&self, key: u64) -> Option<Instant> {
        self.known.get(&key)?.files_at
    }

    #[cfg(test)]
    pub(super) fn is_loading(&self, key: u64) -> bool {
        self.known[&key].loads.is_loading()
    }

    /// What is known of a container; `None` if it has neither GPUs nor a model load, or that is not known yet.
    #[cfg(test)]
    pub(super) fn of(&self, key: u64) -> Option<Inference> {
        self.known.get(&key)?.inference()
    }
}

impl Known {
    /// True if it is known that there are no GPUs.
    fn has_none(&self) -> bool {
        self.gpus == Some((0, true))
    }

    fn inference(&self) -> Option<Inference> {
        let (gpus_given, true) = self.gpus? else { return None };
        let load = self.loads.load();
        (gpus_given > 0 || load.is_some()).then_some(Inference {
            gpus_given,
            libraries: self.libraries,
            has_model_file: self.has_mapped_model || self.loads.has_read_model,
            load,
        })
    }
}
