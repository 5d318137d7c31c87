//! The loop of the thread. It waits for changes of job files, and while a job is running it samples what the job does. A
//! file system of a container may hang, and then this thread hangs.

use std::{
    collections::HashMap,
    os::fd::RawFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    find::Finder,
    reading::{Found, Reading, Shared, Subject},
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
/// It never rests longer than this: the budgets of all containers amount to 1.3 s. A longer update waits for a file system.
const REST_MAX: Duration = Duration::from_secs(15);
/// Maximum number of containers with FaceFusion.
const CONTAINERS_MAX: usize = 64;

/// Where the thread reads.
pub(super) struct Host {
    pub(super) layout: Layout,
    pub(super) proc_root: PathBuf,
}

/// A container. Most are not FaceFusion, so what is known of FaceFusion is not stored with it.
struct Candidate {
    subject: Arc<Subject>,
    finder: Finder,
    /// When its processes are looked at next.
    look_at: Instant,
    /// `None` if FaceFusion has never run here.
    watched: Option<Box<Watched>>,
}

pub(super) fn run(host: &Host, shared: &Shared, stop: &Stop) {
    let mut candidates: HashMap<u64, Candidate> = HashMap::new();
    loop {
        let begun = Instant::now();
        follow(&mut candidates, shared);
        candidates.values_mut().for_each(|candidate| candidate.look_if_due(host, begun));
        let mut used: Vec<_> = candidates.iter_mut().filter(|(_, candidate)| candidate.is_used()).collect();
        used.sort_unstable_by_key(|(key, _)| **key);
        used.truncate(CONTAINERS_MAX);
        let mut descriptors = Vec::new();
        let mut found: HashMap<u64, Found> = HashMap::new();
        for (key, candidate) in used {
            candidate.update(host);
            if let Some(watched) = &candidate.watched {
                descriptors.extend(watched.descriptor());
                found.insert(*key, watched.found(Instant::now()));
            }
        }
        let limitation = candidates.values().find_map(|one| one.watched.as_ref()?.limitation());
        let is_running = found.values().any(|one| one.shown.running > 0);
        shared.put(Reading { taken: Instant::now(), containers: found, limitation });
        if stop.wait((begun.elapsed() * REST).clamp(REST_MIN, REST_MAX)) {
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
fn follow(candidates: &mut HashMap<u64, Candidate>, shared: &Shared) {
    let subjects = shared.subjects();
    let living: HashMap<_, _> = subjects.into_iter().map(|subject| (subject.key, subject)).collect();
    candidates.retain(|key, _| living.contains_key(key));
    // After many containers have ended, the table gives their memory back.
    candidates.shrink_to(2 * living.len());
    for (key, subject) in living {
        candidates.entry(key).or_insert_with(|| Candidate::new(subject));
    }
}

impl Candidate {
    fn new(subject: Arc<Subject>) -> Self {
        let look_at = subject.since + FIRST_LOOK;
        Self { subject, finder: Finder::default(), look_at, watched: None }
    }

    fn is_used(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.is_used())
    }

    fn look_if_due(&mut self, host: &Host, now: Instant) {
        if self.look_at <= now {
            self.look(host, now);
            let age = now.saturating_duration_since(self.subject.since);
            self.look_at = now + age.clamp(FIRST_LOOK, LOOK_PERIOD);
        }
    }

    /// Looks for processes that have started or ended.
    fn look(&mut self, host: &Host, now: Instant) {
        let started = self.finder.started(&host.layout, &host.proc_root, &self.subject.cgroup_path);
        if !started.is_empty() && self.watched.is_none() {
            self.watched = Some(Box::new(Watched::new(Arc::clone(&self.subject))));
        }
        if let Some(watched) = &mut self.watched {
            watched.follow(started, &host.proc_root, now);
        }
    }

    fn update(&mut self, host: &Host) {
        let now = Instant::now();
        let Some(watched) = &mut self.watched else { return };
        watched.handle_changes(&host.proc_root, now);
        // After their last changes of files have been handled.
        if watched.has_ended_process() {
            self.look(host, now);
        }
        if let Some(watched) = &mut self.watched {
            watched.sample(&host.layout, &host.proc_root, now);
        }
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
