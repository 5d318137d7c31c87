use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{
    super::subject::{PageJobs, Signs},
    *,
};
use crate::snapshot::facefusion::ByReason;

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

    /// The abandoned jobs, after their reasons have been decided.
    fn abandoned(&mut self) -> ByReason {
        let later = Instant::now() + Duration::from_secs(60);
        self.watched.failures.decide(&self.watched.subject, &mut self.watched.jobs, later);
        self.watched.jobs.counters.abandoned
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
    let found = host.watched.found(Instant::now()).shown;
    assert_eq!((found.counters.completed, found.running, found.stopped), (1, 0, 1));
    assert_eq!(host.abandoned(), [0, 0, 0, 1]);
}

/// Whether the file of a job is the one of a running job.
fn is_running(host: &Host, name: &str) -> bool {
    let key = host.watched.store.key(OsStr::new(name)).unwrap();
    host.watched.jobs.running() == HashSet::from([key])
}

#[test]
fn a_process_that_starts_another_job_has_left_the_one_before() {
    let mut host = Host::new();
    let process = host.start();
    host.follow(vec![process]);
    // Both are handled at once.
    host.write("b.json", "started");
    host.write("a.json", "started");
    host.handle_changes();
    assert!(host.watched.may_have_stopped());
    host.follow(Vec::new());
    assert!(is_running(&host, "a.json") && !host.watched.may_have_stopped());
    assert_eq!(host.abandoned(), [0, 0, 0, 1]);
    // The next one starts and ends at once.
    host.write("c.json", "started");
    let jobs = host.root.path().join(".jobs");
    fs::rename(jobs.join("queued/c.json"), jobs.join("completed/c.json")).unwrap();
    host.handle_changes();
    host.follow(Vec::new());
    assert_eq!((host.watched.jobs.present().running, host.watched.jobs.present().stopped), (0, 2));
    assert_eq!((host.watched.jobs.counters.completed, host.abandoned()), (1, [0, 0, 0, 2]));
}

#[test]
fn several_processes_run_several_jobs() {
    let mut host = Host::new();
    let processes = vec![host.start(), host.start()];
    host.follow(processes);
    for name in ["a.json", "b.json"] {
        host.write(name, "started");
        host.handle_changes();
    }
    assert!(host.watched.may_have_stopped());
    host.follow(Vec::new());
    assert_eq!((host.watched.jobs.present().running, host.watched.may_have_stopped()), (2, false));
}

#[test]
fn the_program_that_starts_facefusion_is_no_second_one() {
    let mut host = Host::new();
    let mut init = Command::new("sh");
    // As with docker-init, both have the script in their arguments.
    init.args(["-c", r#"sh -c "sleep 20; :" facefusion.py & wait"#, "facefusion.py"]);
    host.shells.push(init.current_dir(host.root.path()).stdin(Stdio::piped()).spawn().unwrap());
    let parent = host.find();
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let child = (0..2000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let children = fs::read_to_string(&children).unwrap();
        Process::of(Path::new("/proc"), children.split(' ').next()?).filter(|one| one.is_child_of(&parent))
    });
    host.follow(vec![parent, child.unwrap()]);
    assert!(host.watched.is_single());
}

#[test]
fn after_a_restart_of_the_agent_only_the_latest_job_runs() {
    let mut host = Host::new();
    let process = host.start();
    std::thread::sleep(Duration::from_millis(50));
    for name in ["b.json", "a.json", "c.json"] {
        host.write(name, "started");
        std::thread::sleep(Duration::from_millis(20));
    }
    host.follow(vec![process]);
    assert!(is_running(&host, "c.json"));
    assert_eq!((host.watched.jobs.present().stopped, host.abandoned()), (2, [0; 4]));
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
    let found = host.watched.found(Instant::now()).shown;
    assert_eq!((found.running, found.queued, found.stopped), (0, 0, 1));
    assert_eq!(host.abandoned(), [0, 0, 1, 0], "an ffmpeg has failed");
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
    assert_eq!((host.watched.jobs.present().stopped, host.watched.jobs.present().running), (1, 0));
    host.write("a.json", "started");
    host.handle_changes();
    // It may have been read between the two writes of the file.
    host.handle_changes();
    assert_eq!((host.watched.jobs.present().stopped, host.watched.jobs.present().running), (0, 1));
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
