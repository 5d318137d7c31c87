//! The loop of the thread. It waits for changes of job files, and while a job is running it samples what the job does. A
//! file system of a container may hang, and then this thread hangs.

use std::{
    collections::HashMap,
    os::fd::RawFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    reading::{Reading, Shared},
    watched::Watched,
};
use crate::{collectors::thread::Stop, containers::cgroup::Layout};

/// Age of a container at the first look. A container that only runs one job lives for seconds.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Time between looks. At first it is as long as the age of the container: its script may prepare FaceFusion for a moment.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Time between two updates while a job is running.
const SAMPLE_PERIOD: Duration = Duration::from_millis(100);
/// Time between two updates otherwise, unless files change.
const IDLE_PERIOD: Duration = Duration::from_secs(1);
/// Minimum time between two updates, in which changes accumulate.
const REST_MIN: Duration = Duration::from_millis(10);
/// The thread rests for at least this many times as long as the update took.
const REST: u32 = 9;
/// Maximum number of containers with FaceFusion.
const CONTAINERS_MAX: usize = 64;

/// Where the thread reads.
pub(super) struct Host {
    pub(super) layout: Layout,
    pub(super) proc_root: PathBuf,
}

/// A container and when it is looked at next.
struct Planned {
    watched: Watched,
    look_at: Instant,
}

pub(super) fn run(host: &Host, shared: &Shared, stop: &Stop) {
    let mut containers: HashMap<u64, Planned> = HashMap::new();
    loop {
        let begun = Instant::now();
        follow(&mut containers, shared);
        look(&mut containers, host, begun);
        let mut used: Vec<_> =
            containers.iter_mut().filter(|(_, planned)| planned.watched.is_used()).collect();
        used.sort_unstable_by_key(|(key, _)| **key);
        used.truncate(CONTAINERS_MAX);
        let mut descriptors = Vec::new();
        let mut shown = HashMap::new();
        for (key, planned) in used {
            planned.watched.update(&host.layout, &host.proc_root, Instant::now());
            descriptors.extend(planned.watched.descriptor());
            shown.insert(*key, planned.watched.shown(Instant::now()));
        }
        let is_running = shown.values().any(|one| one.running > 0);
        shared.put(Reading { taken: begun, containers: shown });
        if stop.wait(REST_MIN.max(begun.elapsed() * REST)) {
            return;
        }
        if descriptors.is_empty() {
            if stop.wait(FIRST_LOOK) {
                return;
            }
        } else {
            wait(&descriptors, if is_running { SAMPLE_PERIOD } else { IDLE_PERIOD });
            if stop.wait(Duration::ZERO) {
                return;
            }
        }
    }
}

/// Adds new containers, and removes ended ones.
fn follow(containers: &mut HashMap<u64, Planned>, shared: &Shared) {
    let subjects = shared.subjects();
    let living: HashMap<_, _> = subjects.iter().map(|subject| (subject.key, subject)).collect();
    containers.retain(|key, _| living.contains_key(key));
    for (key, subject) in living {
        containers.entry(key).or_insert_with(|| Planned {
            look_at: subject.since + FIRST_LOOK,
            watched: Watched::new(subject.clone()),
        });
    }
}

fn look(containers: &mut HashMap<u64, Planned>, host: &Host, now: Instant) {
    for planned in containers.values_mut().filter(|planned| planned.look_at <= now) {
        planned.watched.look(&host.layout, &host.proc_root);
        planned.look_at = now + planned.watched.age(now).clamp(FIRST_LOOK, LOOK_PERIOD);
    }
}

/// Waits until a descriptor is readable.
fn wait(descriptors: &[RawFd], timeout: Duration) {
    let readable = |&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut descriptors: Vec<_> = descriptors.iter().map(readable).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the vector is live and its length is given. An error is as good as a timeout.
    unsafe { libc::poll(descriptors.as_mut_ptr(), descriptors.len() as libc::nfds_t, timeout_ms) };
}
