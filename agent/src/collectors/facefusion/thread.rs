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
    reading::{Found, Reading, Shared, Subjects},
    subject::Subject,
    watched::Watched,
};
use crate::{collectors::thread::Stop, containers::cgroup::Layout};

/// Age of a container at the first look. A container that only runs one job lives for seconds.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Time between looks at a container with FaceFusion.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Time between looks at another one. At first it is as long as the age of the container: its script may prepare FaceFusion
/// for a moment. FaceFusion itself takes some seconds to start, and the jobs since its start are counted.
const SEARCH_PERIOD: Duration = Duration::from_secs(15);
/// Containers without FaceFusion are looked at together, at multiples of this time. So the thread wakes up at most that often.
const SHARED_PERIOD: Duration = Duration::from_secs(5);
/// An old container is not looked at before its processes have used this much CPU time since the last look. Python needs more
/// to start FaceFusion: its imports alone take a second.
const SEARCH_CPU: Duration = Duration::from_millis(100);
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
/// Maximum number of containers with FaceFusion that are followed.
const CONTAINERS_MAX: usize = 64;
/// The limitation if there are more.
const TOO_MANY: &str = "more than 64 containers run FaceFusion; the others are not followed";

/// Where the thread reads.
pub(super) struct Host {
    pub(super) layout: Layout,
    pub(super) proc_root: PathBuf,
    /// When the agent started.
    pub(super) since: Instant,
}

impl Host {
    /// The last time before this one at which containers without FaceFusion are looked at together.
    fn shared_look(&self, at: Instant) -> Instant {
        let past_ms = at.saturating_duration_since(self.since).as_millis() % SHARED_PERIOD.as_millis();
        at - Duration::from_millis(u64::try_from(past_ms).unwrap_or(0))
    }
}

/// A container. Most are not FaceFusion, so what is known of FaceFusion is not stored with it.
struct Candidate {
    subject: Arc<Subject>,
    finder: Finder,
    /// When its processes are looked at next.
    look_at: Instant,
    /// The CPU time that they had used at the last look; `None` if that is unknown.
    cpu_time: Option<Duration>,
    /// `None` if FaceFusion has never run here, or too many other containers run it.
    watched: Option<Box<Watched>>,
    /// True if FaceFusion runs here, and too many other containers run it.
    is_refused: bool,
}

pub(super) fn run(host: &Host, shared: &Shared, stop: &Stop) {
    let mut candidates: HashMap<u64, Candidate> = HashMap::new();
    let (mut subjects, mut found) = (Arc::default(), Arc::default());
    let mut changed = Vec::new();
    loop {
        let begun = Instant::now();
        let latest = shared.subjects();
        let has_new_subjects = !Arc::ptr_eq(&subjects, &latest);
        if has_new_subjects {
            follow(&mut candidates, &latest);
            subjects = latest;
        }
        if update(&mut candidates, host, &changed, begun) || has_new_subjects {
            found = Arc::new(all_found(&candidates));
        }
        shared.put(reading(&candidates, &found));
        let is_running = found.values().any(|found| found.shown.running > 0);
        let rest = (begun.elapsed() * REST).clamp(REST_MIN, REST_MAX);
        if stop.rest(rest) || pause(&candidates, is_running, stop, &mut changed) {
            return;
        }
    }
}

/// Waits until files change, something else is due, or there is a new container. Sets `changed` to the descriptors of which
/// files have changed. Returns true if the thread has to end.
fn pause(
    candidates: &HashMap<u64, Candidate>,
    is_running: bool,
    stop: &Stop,
    changed: &mut Vec<RawFd>,
) -> bool {
    changed.clear();
    let period = if is_running { SAMPLE_PERIOD } else { IDLE_PERIOD };
    let used = candidates.values().filter_map(Candidate::used);
    let descriptors: Vec<_> = used.filter_map(Watched::descriptor).collect();
    if !descriptors.is_empty() {
        *changed = wait(&descriptors, period);
        return stop.wait(Duration::ZERO);
    }
    let next = candidates.values().map(|candidate| candidate.look_at).min();
    let left = next.map_or(SEARCH_PERIOD, |at| at.saturating_duration_since(Instant::now()));
    let is_watching = candidates.values().any(|candidate| candidate.watched.is_some());
    stop.wait(if is_watching { left.min(period) } else { left })
}

/// Updates each container. Returns false if nothing can have changed.
fn update(candidates: &mut HashMap<u64, Candidate>, host: &Host, changed: &[RawFd], now: Instant) -> bool {
    let mut is_updated = false;
    let watched = candidates.values().filter(|candidate| candidate.watched.is_some()).count();
    let mut room = CONTAINERS_MAX.saturating_sub(watched);
    for candidate in candidates.values_mut() {
        let was_watched = candidate.watched.is_some();
        if candidate.is_due(changed, now) {
            candidate.update(host, now, room > 0);
            is_updated |= candidate.watched.is_some();
        }
        room -= usize::from(!was_watched && candidate.watched.is_some());
    }
    is_updated
}

/// The containers with FaceFusion.
fn all_found(candidates: &HashMap<u64, Candidate>) -> HashMap<u64, Found> {
    let now = Instant::now();
    let found = |(key, candidate): (&u64, &Candidate)| Some((*key, candidate.used()?.found(now)));
    candidates.iter().filter_map(found).collect()
}

/// What is known of all containers.
fn reading(candidates: &HashMap<u64, Candidate>, found: &Arc<HashMap<u64, Found>>) -> Reading {
    let refused = candidates.values().any(|candidate| candidate.is_refused).then(|| TOO_MANY.to_owned());
    // Of several, always the same one.
    let failed =
        candidates.iter().filter_map(|(key, candidate)| Some((key, candidate.used()?.limitation()?)));
    let failed = failed.min_by_key(|(key, _)| **key).map(|(_, limitation)| limitation);
    Reading { taken: Instant::now(), containers: Arc::clone(found), limitation: failed.or(refused) }
}

/// Adds new containers, and removes ended ones.
fn follow(candidates: &mut HashMap<u64, Candidate>, subjects: &Subjects) {
    candidates.retain(|key, _| subjects.contains_key(key));
    // After many containers have ended, the table gives their memory back.
    candidates.shrink_to(2 * subjects.len());
    for (key, subject) in subjects {
        candidates.entry(*key).or_insert_with(|| Candidate::new(Arc::clone(subject)));
    }
}

impl Candidate {
    fn new(subject: Arc<Subject>) -> Self {
        let look_at = subject.since + FIRST_LOOK;
        Self { subject, finder: Finder::default(), look_at, cpu_time: None, watched: None, is_refused: false }
    }

    /// Its FaceFusion, if that runs or has jobs here.
    fn used(&self) -> Option<&Watched> {
        self.watched.as_deref().filter(|watched| watched.is_used())
    }

    /// False if there is nothing to do: its files have not changed, no job is running, and no look is due.
    fn is_due(&self, changed: &[RawFd], now: Instant) -> bool {
        let has_changed = |watched: &Watched| watched.descriptor().is_some_and(|fd| changed.contains(&fd));
        let has_work = |watched: &Watched| !watched.is_settled() || has_changed(watched);
        self.look_at <= now || self.watched.as_deref().is_some_and(has_work)
    }

    fn update(&mut self, host: &Host, now: Instant, has_room: bool) {
        if let Some(watched) = &mut self.watched {
            watched.handle_changes(&host.proc_root, now);
        }
        let is_in_doubt = |watched: &Watched| watched.has_ended_process() || watched.may_have_stopped();
        if self.watched.as_deref().is_some_and(is_in_doubt)
            || (self.look_at <= now && self.may_have_started(now))
        {
            self.look(host, now, has_room);
        } else if self.look_at <= now {
            self.look_at = host.shared_look(now + SHARED_PERIOD);
        }
        if let Some(watched) = &mut self.watched {
            watched.sample(&host.layout, &host.proc_root, now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.subject.since)
    }

    /// Time between looks at this age.
    fn period(&self, now: Instant) -> Duration {
        let is_found = self.watched.is_some() || self.is_refused;
        self.age(now).clamp(FIRST_LOOK, if is_found { LOOK_PERIOD } else { SEARCH_PERIOD })
    }

    /// False if FaceFusion cannot have started since the last look.
    fn may_have_started(&self, now: Instant) -> bool {
        let used =
            self.subject.noted().cpu_time.zip(self.cpu_time).map(|(now, before)| now.saturating_sub(before));
        self.age(now) < SEARCH_PERIOD || self.is_refused || used.is_none_or(|used| used >= SEARCH_CPU)
    }

    /// Looks for processes that have started or ended.
    fn look(&mut self, host: &Host, now: Instant, has_room: bool) {
        let period = self.period(now);
        self.look_at = now + period;
        if period == SEARCH_PERIOD {
            self.look_at = host.shared_look(self.look_at);
        }
        // Before the look, so that no CPU time is missed.
        self.cpu_time = self.subject.noted().cpu_time;
        let started = self.finder.started(&host.layout, &host.proc_root, &self.subject.cgroup_path);
        let has_started = !started.is_empty();
        self.is_refused = self.watched.is_none() && has_started && !has_room;
        if self.is_refused {
            self.finder.forget(&started);
        } else if has_started && self.watched.is_none() {
            self.watched = Some(Box::new(Watched::new(Arc::clone(&self.subject))));
        }
        if let Some(watched) = &mut self.watched {
            watched.follow(started, &host.proc_root, now);
        }
    }
}

/// Waits until a descriptor is readable. Returns those that are.
fn wait(descriptors: &[RawFd], timeout: Duration) -> Vec<RawFd> {
    let readable = |&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut descriptors: Vec<_> = descriptors.iter().map(readable).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the vector is live and its length is given. An error is as good as a timeout.
    unsafe { libc::poll(descriptors.as_mut_ptr(), descriptors.len() as libc::nfds_t, timeout_ms) };
    descriptors.iter().filter(|one| one.revents != 0).map(|one| one.fd).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::subject::Signs, *};

    /// A host with a container that has no process.
    fn host(root: &std::path::Path) -> Host {
        fs::create_dir_all(root.join("docker/a")).unwrap();
        fs::write(root.join("cgroup.controllers"), "cpu\n").unwrap();
        fs::write(root.join("docker/a/cgroup.procs"), "").unwrap();
        let (layout, proc_root) = (Layout::detect(root).unwrap(), root.join("proc"));
        Host { layout, proc_root, since: Instant::now() }
    }

    #[test]
    fn looks_become_rare_as_a_container_without_facefusion_gets_older_and_then_coincide_with_those_of_others()
    {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let looks = |delay: Duration| {
            let mut subject = Subject::new("a".into(), "/docker/a".into(), true);
            subject.since = host.since + delay;
            let mut candidate = Candidate::new(Arc::new(subject));
            let at = (0..10).map(|_| {
                let now = candidate.look_at;
                candidate.update(&host, now, true);
                now - host.since
            });
            at.collect::<Vec<_>>()
        };
        let seconds = |looks: &[Duration]| looks.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        let first = looks(Duration::ZERO);
        assert_eq!(seconds(&first)[..6], [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]);
        let second = looks(Duration::from_millis(3210));
        for looks in [&first, &second] {
            assert_eq!(seconds(looks)[6..], [30.0, 45.0, 60.0, 75.0], "{looks:?}");
        }
    }

    #[test]
    fn an_old_container_is_looked_at_only_after_it_has_used_cpu_time() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let subject = Arc::new(Subject::new("a".into(), "/docker/a".into(), true));
        let used = |cpu: Duration| subject.note(Signs::default(), Some(cpu));
        used(Duration::ZERO);
        let mut candidate = Candidate::new(Arc::clone(&subject));
        let old = subject.since + SEARCH_PERIOD;
        candidate.update(&host, old, true);
        // FaceFusion starts.
        fs::create_dir_all(host.proc_root.join("7")).unwrap();
        fs::write(host.proc_root.join("7/cmdline"), "python\0facefusion.py\0run\0").unwrap();
        fs::write(root.path().join("docker/a/cgroup.procs"), "7\n").unwrap();
        let mut is_found_at = |age: Duration| {
            candidate.update(&host, subject.since + age, true);
            candidate.watched.is_some()
        };
        assert!(!is_found_at(4 * SEARCH_PERIOD));
        used(SEARCH_CPU.saturating_sub(Duration::from_nanos(1)));
        assert!(!is_found_at(5 * SEARCH_PERIOD));
        used(SEARCH_CPU);
        assert!(!is_found_at(5 * SEARCH_PERIOD + SHARED_PERIOD / 2), "not due yet");
        assert!(is_found_at(5 * SEARCH_PERIOD + SHARED_PERIOD));
    }

    #[test]
    fn a_container_with_unknown_cpu_time_is_looked_at_whenever_a_look_is_due() {
        let subject = Arc::new(Subject::new("a".into(), "/docker/a".into(), true));
        let mut candidate = Candidate::new(Arc::clone(&subject));
        let old = subject.since + SEARCH_PERIOD;
        assert!(candidate.may_have_started(old));
        candidate.cpu_time = Some(Duration::ZERO);
        assert!(candidate.may_have_started(old));
        subject.note(Signs::default(), Some(Duration::ZERO));
        assert!(!candidate.may_have_started(old) && candidate.may_have_started(old - SHARED_PERIOD));
    }
}
