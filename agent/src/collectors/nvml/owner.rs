//! Which container a process is of: from `/proc/PID/cgroup`, guarded by the time at which the process was started.
//!
//! NVML names processes by numbers, in samples that may be seconds old; the number may be another's by now. So a process
//! that is younger than the sample is not the one that was meant; one that is gone is the one that it was when it was
//! last looked at. Cost: two small files per process and tick, some 20 µs, and a third where it is new.

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
    containers::cgroup::{Layout, bytes},
    kernel::host,
};

/// The kernel tells start times in hundredths of a second, and wall clocks are adjusted.
const TOLERANCE: Duration = Duration::from_millis(100);
/// Processes that were not asked about for so many rounds are forgotten.
const FORGET_AFTER_ROUNDS: u64 = 60;

/// Whose a process is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// A container's, by the path of the container's own cgroup.
    Container(Arc<str>),
    /// Nobody's of them.
    Host,
    /// This process namespace does not show it, or not any more.
    Unknown,
}

struct Known {
    started_ticks: u64,
    owner: Owner,
    /// When it was last asked about,
    round: u64,
    /// and when it was last seen alive: once a round is enough.
    seen_round: u64,
}

/// Looks processes up.
pub(super) struct Owners {
    proc_root: PathBuf,
    layout: Layout,
    ticks_per_second: u64,
    known: HashMap<u32, Known>,
    round: u64,
    /// False if NVML's process ids are of another PID namespace than the procfs: nothing is looked up then.
    same_namespace: bool,
}

impl Owners {
    pub(super) fn new(proc_root: PathBuf, layout: Layout) -> Self {
        // SAFETY: no pointers.
        let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        Self {
            same_namespace: host::shares_process_ids(&proc_root),
            proc_root,
            layout,
            ticks_per_second: u64::try_from(ticks_per_second).ok().filter(|ticks| *ticks > 0).unwrap_or(100),
            known: HashMap::new(),
            round: 0,
        }
    }

    /// A new round begins.
    pub(super) fn next_round(&mut self) {
        self.round += 1;
        let round = self.round;
        self.known.retain(|_, known| round - known.round < FORGET_AFTER_ROUNDS);
    }

    /// Whose the process was that bore the number at that time.
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

    /// When a process was started, and whose it is; `known` is when the one of this number was that is known.
    fn read(&self, pid: u32, known: Option<u64>) -> Option<(u64, Owner)> {
        if !self.same_namespace {
            return None;
        }
        let directory = self.proc_root.join(pid.to_string());
        let started = || started_ticks(&fs::read_to_string(directory.join("stat")).ok()?);
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
        // The same process all along, or its number is another's by now.
        (after == before).then_some(())?;
        let owner = match self.layout.container_of_process(&cgroups) {
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

/// A point in time on the clock by which the kernel dates the start of processes. Setting the wall clock does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SinceBoot(Duration);

impl SinceBoot {
    pub(super) fn now() -> Self {
        Self(since_boot())
    }

    /// The time that a timestamp of the wall clock stands for. To be called when the timestamp arrives.
    #[expect(clippy::disallowed_methods, reason = "the timestamp is of the wall clock and has just arrived")]
    pub(super) fn of(timestamp: SystemTime) -> Self {
        let now = since_boot();
        Self(match SystemTime::now().duration_since(timestamp) {
            Ok(age) => now.saturating_sub(age),
            Err(ahead) => now.saturating_add(ahead.duration()),
        })
    }
}

/// The 22nd column; the second, a name in brackets, may hold anything.
fn started_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

fn since_boot() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives through the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The text of a process's `cgroup`, whose paths need not be UTF-8.
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
        let ticks = since_boot().saturating_sub(age).as_millis() / 10;
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
    fn a_process_is_of_the_deepest_container_on_its_path() {
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
    fn a_number_that_another_process_has_by_now_is_still_the_old_ones() {
        let (root, mut owners) = host();
        process(root.path(), 7, Duration::from_secs(60), &format!("/docker/{ID}"));
        let sampled = SinceBoot::of(SystemTime::now() - Duration::from_secs(5));
        assert_eq!(owners.of(7, sampled), container(ID));
        let other = ID.replace('c', "d");
        process(root.path(), 7, Duration::from_secs(1), &format!("/docker/{other}"));
        owners.next_round();
        assert_eq!(owners.of(7, sampled), container(ID), "the sample is older than the new process");
        assert_eq!(owners.of(7, SinceBoot::now()), container(&other));
        assert_eq!(owners.of(7, sampled), Owner::Unknown, "the old one is not known any more");
    }

    #[test]
    fn a_process_that_is_gone_is_remembered_for_a_while() {
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
    fn files_that_are_no_processes_do_no_harm() {
        let (root, mut owners) = host();
        for stat in ["", ") ", "7 (x) S", "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -1"] {
            fs::create_dir_all(root.path().join("7")).unwrap();
            fs::write(root.path().join("7/stat"), stat).unwrap();
            assert_eq!(owners.of(7, SinceBoot::now()), Owner::Unknown, "{stat:?}");
        }
        assert_eq!(
            started_ticks(&format!("1 (a) S{} 18446744073709551615", " 1".repeat(18))),
            Some(u64::MAX)
        );
    }
}
