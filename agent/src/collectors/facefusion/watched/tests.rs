use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{
    super::reading::{PageJobs, Signs},
    *,
};

/// What is known of a container; `is_new` if the agent saw its start.
fn watched(is_new: bool) -> Watched {
    Watched::new(Arc::new(Subject::new("a".into(), "/a".into(), is_new)))
}

/// A shell that looks like FaceFusion, in a directory with a store.
struct Host {
    root: TempDir,
    shells: Vec<Child>,
    watched: Watched,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for place in Place::ALL {
            fs::create_dir_all(root.path().join(".jobs").join(place.directory())).unwrap();
        }
        Self { root, shells: Vec::new(), watched: watched(false) }
    }

    /// Starts FaceFusion.
    fn start(&mut self) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read x", "facefusion.py"]).current_dir(self.root.path()).stdin(Stdio::piped());
        self.shells.push(shell.spawn().unwrap());
        self.find()
    }

    /// The FaceFusion that was started last.
    fn find(&self) -> Process {
        let id = self.shells.last().unwrap().id().to_string();
        let mut attempts = 0;
        loop {
            if let Some(process) = Process::of(Path::new("/proc"), &id) {
                return process;
            }
            attempts += 1;
            assert!(attempts < 2000, "the shell has not started");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends FaceFusion. Its parent does not wait for it.
    fn kill(&mut self) {
        let last = self.shells.last_mut().unwrap();
        last.kill().unwrap();
        let ended = (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.watched.has_ended_process()
        });
        assert!(ended);
    }

    fn follow(&mut self, started: Vec<Process>) {
        self.watched.follow(started, Path::new("/proc"), Instant::now());
    }

    fn write(&self, name: &str, status: &str) {
        let text = format!(r#"{{"steps": [{{"args": {{}}, "status": "{status}"}}]}}"#);
        fs::write(self.root.path().join(".jobs/queued").join(name), text).unwrap();
    }

    fn handle_changes(&mut self) {
        self.watched.handle_changes(Path::new("/proc"), Instant::now());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for shell in &mut self.shells {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

#[test]
fn a_process_is_kept_once_and_until_it_ends() {
    let mut host = Host::new();
    let process = host.start();
    host.follow(vec![process]);
    let again = (0..2 * PROCESSES_MAX).map(|_| host.find()).collect();
    host.follow(again);
    assert_eq!((host.watched.processes.len(), host.watched.limitation()), (1, None));
    host.kill();
    host.follow(Vec::new());
    assert!(host.watched.processes.is_empty(), "a zombie");
}

#[test]
fn a_job_that_completes_just_before_its_process_ends_is_not_abandoned() {
    let mut host = Host::new();
    let process = host.start();
    host.follow(vec![process]);
    host.write("a.json", "started");
    host.write("b.json", "started");
    host.handle_changes();
    assert_eq!(host.watched.jobs.present().running, 2);
    let jobs = host.root.path().join(".jobs");
    fs::rename(jobs.join("queued/a.json"), jobs.join("completed/a.json")).unwrap();
    host.kill();
    host.follow(Vec::new());
    let found = host.watched.found(Instant::now());
    assert_eq!((found.shown.counters.completed, found.shown.running), (1, 0));
    assert_eq!(found.undecided.abandoned.iter().sum::<u64>(), 1);
}

#[test]
fn a_process_that_starts_another_job_has_left_the_one_before() {
    let mut host = Host::new();
    let process = host.start();
    host.follow(vec![process]);
    for name in ["a.json", "b.json"] {
        host.write(name, "started");
        host.handle_changes();
    }
    assert!(host.watched.may_have_stopped());
    host.follow(Vec::new());
    assert_eq!((host.watched.jobs.present().running, host.watched.may_have_stopped()), (1, false));
    assert_eq!(host.watched.found(Instant::now()).undecided.abandoned.iter().sum::<u64>(), 1);
    // Another process runs the third one.
    let process = host.start();
    host.write("c.json", "started");
    host.handle_changes();
    assert!(host.watched.may_have_stopped());
    host.follow(vec![process]);
    assert_eq!((host.watched.jobs.present().running, host.watched.may_have_stopped()), (2, false));
}

#[test]
fn a_job_of_the_page_stops_with_an_exception_of_the_page() {
    let mut host = Host::new();
    let process = host.start();
    host.follow(vec![process]);
    let subject = Arc::clone(&host.watched.subject);
    let tick = |in_flight, errors| {
        let page = Some(PageJobs { in_flight, errors });
        subject.note(Signs { page, errors: Some(errors), ..Signs::default() }, None);
    };
    tick(0, 0);
    host.write("a.json", "started");
    host.handle_changes();
    for (in_flight, errors, may_have_stopped) in [(1, 0, false), (0, 1, false), (0, 1, true)] {
        tick(in_flight, errors);
        host.handle_changes();
        assert_eq!(host.watched.may_have_stopped(), may_have_stopped, "{in_flight} {errors}");
    }
    host.follow(Vec::new());
    let found = host.watched.found(Instant::now());
    assert_eq!((found.shown.running, found.shown.queued), (0, 1));
    assert_eq!(found.undecided.abandoned, [0, 0, 1, 0], "an ffmpeg has failed");
}

#[test]
fn a_job_that_was_killed_waits_until_it_runs_again() {
    let mut host = Host::new();
    host.write("a.json", "started");
    let old = fs::File::options().write(true).open(host.root.path().join(".jobs/queued/a.json")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    drop(old);
    let process = host.start();
    host.follow(vec![process]);
    assert_eq!((host.watched.jobs.present().queued, host.watched.jobs.present().running), (1, 0));
    host.write("a.json", "started");
    host.handle_changes();
    // It may have been read between the two writes of the file.
    host.handle_changes();
    assert_eq!((host.watched.jobs.present().queued, host.watched.jobs.present().running), (0, 1));
}

#[test]
fn a_job_that_ended_before_facefusion_was_found_counts_if_no_agent_before_can_have_counted_it() {
    // FaceFusion is as old as the container, and the agent did or did not see its start.
    for (is_new, counted) in [(true, 1), (false, 0)] {
        let mut host = Host::new();
        let process = host.start();
        // Times of files and processes have another resolution than those of the agent.
        std::thread::sleep(Duration::from_millis(50));
        host.watched = watched(is_new);
        fs::write(host.root.path().join(".jobs/completed/a.json"), "{}").unwrap();
        host.follow(vec![process]);
        assert_eq!(host.watched.jobs.counters.completed, counted, "{is_new}");
    }
    // FaceFusion has started after the agent.
    let mut host = Host::new();
    std::thread::sleep(Duration::from_millis(50));
    let process = host.start();
    fs::write(host.root.path().join(".jobs/completed/a.json"), "{}").unwrap();
    host.follow(vec![process]);
    assert_eq!(host.watched.jobs.counters.completed, 1);
}
