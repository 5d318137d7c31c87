use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const STARTED: &str = r#"{"steps": [{"args": {}, "status": "started"}]}"#;

/// A store in a directory, watched as in a container.
struct Host {
    root: TempDir,
    store: Store,
    jobs: Jobs,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: tempfile::tempdir().unwrap(), store: Store::new(), jobs: Jobs::default() };
        host.create("jobs");
        host
    }

    fn create(&self, store: &str) {
        for place in Place::ALL {
            fs::create_dir_all(self.root.path().join(store).join(place.directory())).unwrap();
        }
    }

    fn write(&self, file: &str) -> PathBuf {
        let path = self.root.path().join(file);
        fs::write(&path, STARTED).unwrap();
        path
    }

    fn open(&mut self, store: &str, at: Option<SystemTime>) {
        self.open_after(store, Start { at, in_known_container: false, is_single: true });
    }

    fn open_after(&mut self, store: &str, start: Start) {
        let location = Location::Store(Directory::at(&self.root.path().join(store)).unwrap());
        self.store.open(&location, &mut self.jobs, start, &mut Budget::default(), Instant::now());
        assert!(!self.store.is_stale && self.store.error.is_none());
    }

    /// Jobs that do not run, and those that do.
    fn unfinished(&self) -> (u64, u64) {
        let present = self.jobs.present();
        (present.queued + present.stopped, present.running)
    }
}

#[test]
fn a_started_job_runs_if_facefusion_has_written_its_file() {
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    for (since, expected) in [(Some(now + hour), (1, 0)), (Some(now - hour), (0, 1)), (None, (0, 1))] {
        let mut host = Host::new();
        host.write("jobs/queued/a.json");
        host.open("jobs", since);
        assert_eq!(host.unfinished(), expected, "{since:?}");
        assert_eq!(host.jobs.counters, Jobs::default().counters);
    }
}

#[test]
fn a_listing_counts_only_jobs_that_have_ended_since_all_files_were_known() {
    let mut host = Host::new();
    host.write("jobs/completed/old.json");
    host.write("jobs/queued/known.json");
    host.open("jobs", None);
    assert_eq!(host.jobs.counters.completed, 0);
    // Long ago, as far as the store knows.
    host.store.handled(SystemTime::now() + 2 * SLACK);
    host.write("jobs/completed/forgotten.json");
    fs::rename(
        host.root.path().join("jobs/queued/known.json"),
        host.root.path().join("jobs/completed/known.json"),
    )
    .unwrap();
    host.open("jobs", None);
    assert_eq!((host.jobs.counters.completed, host.unfinished()), (1, (0, 0)), "the known job");

    let mut host = Host::new();
    host.open("jobs", None);
    host.write("jobs/completed/new.json");
    host.write("jobs/failed/new.json");
    host.open("jobs", None);
    assert_eq!((host.jobs.counters.completed, host.jobs.counters.failed), (1, [0, 0, 0, 1]));
}

#[test]
fn the_first_listing_counts_jobs_that_have_ended_since_facefusion_started_in_a_known_container() {
    let now = SystemTime::now();
    let (before, after) = (now - 2 * SLACK, now + 4 * SLACK);
    for (at, in_known_container, counted) in
        [(Some(before), true, 1), (Some(before), false, 0), (Some(after), true, 0), (None, true, 0)]
    {
        let mut host = Host::new();
        host.write("jobs/completed/a.json");
        host.write("jobs/failed/b.json");
        host.open_after("jobs", Start { at, in_known_container, is_single: true });
        let counters = &host.jobs.counters;
        assert_eq!((counters.completed, counters.failed), (counted, [0, 0, 0, counted]), "{at:?}");
        if counted > 0 {
            host.open_after("jobs", Start { at, in_known_container, is_single: true });
            assert_eq!(host.jobs.counters.completed, counted, "a second listing counts them again");
        }
    }
}

#[test]
fn the_jobs_of_another_store_were_there_before() {
    let mut host = Host::new();
    host.create("other");
    host.open("jobs", None);
    host.write("other/queued/a.json");
    host.store.restarted();
    assert!(host.store.is_due(Instant::now()));
    host.open("other", None);
    assert_eq!((host.unfinished(), host.jobs.present().since), ((0, 1), None));
    assert!(!host.store.is_old);
}

#[test]
fn an_error_is_reported_and_followed_by_a_pause() {
    let (mut store, now) = (Store::new(), Instant::now());
    store.failed(&io::Error::from_raw_os_error(libc::ENOENT), now);
    assert!(store.is_due(now) && store.error.is_none(), "a directory has vanished just now");
    store.failed(&io::Error::from_raw_os_error(libc::EMFILE), now);
    assert!(!store.is_due(now) && store.is_due(now + PAUSE));
    assert!(store.error.as_ref().is_some_and(|error| error.contains("Too many open files")));
    let mut host = Host { store, ..Host::new() };
    host.open("jobs", None);
    assert!(!host.store.is_due(now + PAUSE));
    assert!(host.store.was_opened());
    host.store.lost_events();
    assert!(!host.store.is_due(now) && host.store.is_due(Instant::now() + PAUSE));
}
