//! Finds the container of a process: from `/proc/PID/cgroup`, guarded by the start time of the process.
//!
//! NVML identifies processes by ID, in samples that may be seconds old, and by now another process may have the ID.
//! Therefore a process that is younger than the sample is not the sampled one. For a process that has ended, the last
//! known owner is used. Cost: two small files per process and tick, about 20 µs, and a third file for a new process.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    containers::{
        cgroup::{CgroupNamespace, Layout, bytes},
        process::stat::{Stat, since_boot, ticks_per_second},
    },
    kernel::host,
};

/// The kernel reports start times in hundredths of a second, and wall clocks are adjusted.
const TOLERANCE: Duration = Duration::from_millis(100);
/// Processes that were not looked up for this many rounds are removed from the cache.
const FORGET_AFTER_ROUNDS: u64 = 60;

/// The owner of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// A container, by the path of its own cgroup.
    Container(Arc<str>),
    /// The host: the process is in no container.
    Host,
    /// The process is not visible in this PID namespace, or no longer exists.
    Unknown,
}

struct Known {
    started_ticks: u64,
    owner: Owner,
    /// The round of the last lookup.
    round: u64,
    /// The round in which the process was last read. One read per round is enough.
    seen_round: u64,
}

/// Finds and caches the owners of processes.
pub(super) struct Owners {
    proc_root: PathBuf,
    layout: Layout,
    namespace: CgroupNamespace,
    ticks_per_second: u64,
    known: HashMap<u32, Known>,
    round: u64,
    /// False if NVML's process IDs belong to another PID namespace than the procfs. Then all owners are unknown.
    same_namespace: bool,
}

impl Owners {
    pub(super) fn new(proc_root: PathBuf, layout: Layout) -> Self {
        Self {
            same_namespace: host::shares_process_ids(&proc_root),
            namespace: CgroupNamespace::of_this_process(&proc_root, &layout),
            proc_root,
            layout,
            ticks_per_second: ticks_per_second().unwrap_or(100),
            known: HashMap::new(),
            round: 0,
        }
    }

    /// Starts a new round.
    pub(super) fn next_round(&mut self) {
        self.round += 1;
        let round = self.round;
        self.known.retain(|_, known| round - known.round < FORGET_AFTER_ROUNDS);
    }

    /// The owner of the process that had this ID at that time.
    pub(super) fn of(&mut self, pid: u32, at: SinceBoot) -> Owner {
        let round = self.round;
        let known = self.known.get(&pid);
        let read = match known {
            Some(known) if known.seen_round == round => Some((known.started_ticks, known.owner.clone())),
            _ => self.read(pid, known.map(|known| known.started_ticks)),
        };
        match read {
            Some((started_ticks, owner)) if self.started_by(started_ticks, at) => {
                self.known
                    .insert(pid, Known { started_ticks, owner: owner.clone(), round, seen_round: round });
                owner
            }
            now => match self.known.get_mut(&pid) {
                Some(known) if now.is_none_or(|(started_ticks, _)| started_ticks > known.started_ticks) => {
                    known.round = round;
                    known.owner.clone()
                }
                _ => Owner::Unknown,
            },
        }
    }

    /// The start time and the owner of a process. `known` is the cached start time for this ID.
    fn read(&self, pid: u32, known: Option<u64>) -> Option<(u64, Owner)> {
        if !self.same_namespace {
            return None;
        }
        let directory = self.proc_root.join(pid.to_string());
        let started = || Stat::of(&fs::read(directory.join("stat")).ok()?)?.started_ticks;
        let mut before = match known {
            Some(known) => known,
            None => started()?,
        };
        let mut cgroups = cgroups_of(&directory)?;
        let mut after = started()?;
        if known.is_some() && after != before {
            before = after;
            cgroups = cgroups_of(&directory)?;
            after = started()?;
        }
        // If the start time has changed, another process has this ID now.
        (after == before).then_some(())?;
        let owner = match self.layout.container_of_process(&self.namespace.absolute(&cgroups)) {
            Some(path) => Owner::Container(path.into()),
            None => Owner::Host,
        };
        Some((before, owner))
    }

    fn started_by(&self, started_ticks: u64, at: SinceBoot) -> bool {
        let after_boot = Duration::from_millis(started_ticks.saturating_mul(1_000) / self.ticks_per_second);
        after_boot <= at.0 + TOLERANCE
    }
}

/// A point in time on the clock of process start times. Setting the wall clock does not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SinceBoot(Duration);

impl SinceBoot {
    pub(super) fn now() -> Self {
        Self(since_boot().unwrap_or_default())
    }

    /// Converts a wall-clock timestamp. Must be called when the timestamp arrives.
    #[expect(clippy::disallowed_methods, reason = "the timestamp is a wall-clock time and has just arrived")]
    pub(super) fn of(timestamp: SystemTime) -> Self {
        let now = since_boot().unwrap_or_default();
        Self(match SystemTime::now().duration_since(timestamp) {
            Ok(age) => now.saturating_sub(age),
            Err(ahead) => now.saturating_add(ahead.duration()),
        })
    }
}

/// The text of a process's `cgroup` file, with paths that may not be UTF-8.
fn cgroups_of(directory: &Path) -> Option<String> {
    let cgroups = fs::read(directory.join("cgroup")).ok()?;
    Some(bytes::text(OsStr::from_bytes(&cgroups)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ID: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    fn process(root: &Path, pid: u32, age: Duration, cgroup: &str) {
        let directory = root.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let ticks = since_boot().unwrap().saturating_sub(age).as_millis() / 10;
        let stat = format!("{pid} (a) b) (c) S 1{} {ticks} 0 0", " 0".repeat(17));
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
    }

    fn host() -> (tempfile::TempDir, Owners) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu\n").unwrap();
        let layout = Layout::detect(root.path()).unwrap();
        let owners = Owners::new(root.path().to_owned(), layout);
        (root, owners)
    }

    fn container(id: &str) -> Owner {
        Owner::Container(format!("/docker/{id}").into())
    }

    #[test]
    fn a_process_belongs_to_the_innermost_container_on_its_path() {
        let (root, mut owners) = host();
        let age = Duration::from_secs(5);
        process(root.path(), 7, age, &format!("/docker/{ID}/init.scope"));
        process(root.path(), 8, age, "/system.slice/cron.service");
        let now = SinceBoot::now();
        assert_eq!(owners.of(7, now), container(ID));
        assert_eq!(owners.of(8, now), Owner::Host);
        assert_eq!(owners.of(9, now), Owner::Unknown);
    }

    #[test]
    fn a_reused_process_id_resolves_as_of_the_time_of_the_sample() {
        let (root, mut owners) = host();
        process(root.path(), 7, Duration::from_secs(60), &format!("/docker/{ID}"));
        let sampled = SinceBoot::of(SystemTime::now() - Duration::from_secs(5));
        assert_eq!(owners.of(7, sampled), container(ID));
        let other = ID.replace('c', "d");
        process(root.path(), 7, Duration::from_secs(1), &format!("/docker/{other}"));
        owners.next_round();
        assert_eq!(owners.of(7, sampled), container(ID), "the sample is older than the new process");
        assert_eq!(owners.of(7, SinceBoot::now()), container(&other));
        assert_eq!(owners.of(7, sampled), Owner::Unknown, "the old process is no longer cached");
    }

    #[test]
    fn an_ended_process_is_cached_for_some_rounds() {
        let (root, mut owners) = host();
        process(root.path(), 7, Duration::from_secs(60), &format!("/docker/{ID}"));
        assert_eq!(owners.of(7, SinceBoot::now()), container(ID));
        fs::remove_dir_all(root.path().join("7")).unwrap();
        assert_eq!(owners.of(7, SinceBoot::now()), container(ID));
        for _ in 0..FORGET_AFTER_ROUNDS {
            owners.next_round();
        }
        assert_eq!(owners.of(7, SinceBoot::now()), Owner::Unknown);
    }

    #[test]
    fn malformed_process_files_have_no_owner() {
        let (root, mut owners) = host();
        for stat in ["", ") ", "7 (x) S", "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -1"] {
            fs::create_dir_all(root.path().join("7")).unwrap();
            fs::write(root.path().join("7/stat"), stat).unwrap();
            assert_eq!(owners.of(7, SinceBoot::now()), Owner::Unknown, "{stat:?}");
        }
        let largest = format!("1 (a) S{} 18446744073709551615", " 1".repeat(18));
        assert_eq!(Stat::of(largest.as_bytes()).and_then(|stat| stat.started_ticks), Some(u64::MAX));
    }
}
