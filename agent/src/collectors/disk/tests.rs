//! Tests of the collector and its thread on a host of files: real directories as layers, simulated processes.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt as _, path::Path, time::SystemTime};

use super::*;
use crate::{
    containers::{directory::Directory, source::Source},
    snapshot::{
        disk::{DiskSource, DiskUsage},
        identity::{Identity, Runtime},
    },
};

const PERIOD: Duration = Duration::from_millis(100);

struct Host {
    root: tempfile::TempDir,
    layers: Layers,
    disk: Option<Disk>,
    container: Container,
    row: ContainerRow,
}

/// The published state of the readings.
#[derive(Debug)]
struct Seen {
    age: Option<Duration>,
    duration: Option<Duration>,
    walks_given_up: u64,
}

impl Host {
    /// Creates a host with one container and one process.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let id = "c".repeat(64);
        let cgroup_path = format!("/docker/{id}");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("cgroup/cgroup.controllers", "cpu\n");
        write(&format!("cgroup{cgroup_path}/cgroup.procs"), "7\n");
        write("proc/7/cgroup", &format!("0::{cgroup_path}\n"));
        fs::create_dir_all(root.path().join("layer")).unwrap();
        let identity = Arc::new(Identity {
            id,
            cgroup_path,
            runtime: Runtime::Docker,
            container: "web".into(),
            ..Identity::default()
        });
        let row = ContainerRow::new(identity.clone(), SystemTime::now());
        let container = Container { key: 1, identity, cgroup_id: 1, slot: None };
        let host = Self { root, layers: Layers::default(), disk: None, container, row };
        host.mount(&format!("rw,lowerdir=/l,upperdir={},workdir=/w", host.layer().display()));
        host
    }

    fn layer(&self) -> PathBuf {
        self.root.path().join("layer")
    }

    /// Makes the container's root an overlay with these options.
    fn mount(&self, options: &str) {
        let line = format!("12 1 0:58 / / rw,relatime - overlay overlay {options}\n");
        fs::write(self.root.path().join("proc/7/mountinfo"), line).unwrap();
    }

    fn options(&self, walk: bool, bounds: Bounds) -> Options {
        Options {
            layout: Layout::detect(&self.root.path().join("cgroup")).unwrap(),
            proc_root: self.root.path().join("proc"),
            sys_root: "/sys".into(),
            period: PERIOD,
            debounce: Duration::ZERO,
            walk,
            bounds,
            reported: self.layers.clone(),
        }
    }

    fn start(&mut self, walk: bool, bounds: Bounds) {
        self.disk = Some(Disk::start(self.options(walk, bounds)).unwrap());
    }

    /// Does what the agent does at a tick.
    fn tick(&mut self) -> Seen {
        let disk = self.disk.as_mut().unwrap();
        let begun = Instant::now();
        disk.refresh(None);
        disk.collect(&self.container, &mut self.row).unwrap();
        let mut host = crate::snapshot::host::Host::default();
        disk.collect_host(&mut host);
        assert!(begun.elapsed() < Duration::from_millis(500), "a tick waited: {:?}", begun.elapsed());
        let DiskReading { age, duration } = host.disk.unwrap();
        Seen { age, duration, walks_given_up: disk.lost()[0].1 }
    }

    fn until(&mut self, what: &str, wanted: impl Fn(&Seen, Option<&DiskUsage>) -> bool) {
        let begun = Instant::now();
        loop {
            let reading = self.tick();
            if wanted(&reading, self.row.disk.as_deref()) {
                return;
            }
            // A walk rests in proportion to the time that it took, so it is much slower while other tests use the CPUs.
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {reading:?}, {:?}", self.row.disk);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn usage(&self) -> DiskUsage {
        self.row.disk.as_deref().unwrap().clone()
    }
}

#[test]
fn without_a_quota_a_runtime_or_a_walk_the_size_is_absent() {
    let mut host = Host::new();
    fs::write(host.layer().join("file"), vec![1; 100_000]).unwrap();
    host.start(false, BOUNDS);
    host.until("a round", |reading, _| reading.age.is_some());
    // Wait longer than a walk of one file would take.
    std::thread::sleep(PERIOD * 3);
    let reading = host.tick();
    assert_eq!((host.row.disk.clone(), reading.walks_given_up), (None, 0));
    assert!(reading.duration.is_some());
}

#[test]
fn a_size_reported_by_the_runtime_is_shown_with_the_device_of_the_layer() {
    let mut host = Host::new();
    let source = Source::socket(Runtime::Containerd, 1);
    let (layers, id) = (host.layers.clone(), host.container.identity.id.clone());
    host.start(true, BOUNDS);
    host.until("a size", |_, usage| {
        // A runtime reports every period. On a busy machine, a single report would be stale before the first round.
        layers.replace(source, [(id.clone(), 4096)]);
        usage.is_some_and(|usage| usage.source == DiskSource::Runtime)
    });
    let usage = host.usage();
    assert_eq!((usage.used_bytes, usage.limit_bytes), (Some(4096), None));
    assert!(!usage.device.is_empty());
    // The runtime stops reporting, so a walk is due.
    host.layers.replace(source, []);
    host.until("a walk instead", |_, usage| usage.is_some_and(|usage| usage.source == DiskSource::Walk));
}

#[test]
fn a_walk_is_repeated_and_finds_what_was_written_since() {
    let mut host = Host::new();
    host.start(true, BOUNDS);
    host.until("a walk", |_, usage| usage.is_some());
    let before = host.usage().used_bytes.unwrap();
    fs::write(host.layer().join("file"), vec![1; 1 << 20]).unwrap();
    host.until("a second walk", |_, usage| {
        usage.and_then(|usage| usage.used_bytes).is_some_and(|bytes| bytes >= before + (1 << 20))
    });
    assert_eq!((host.usage().source, host.usage().limit_bytes), (DiskSource::Walk, None));
}

#[test]
fn a_walk_that_is_given_up_is_counted_and_shows_nothing() {
    let mut host = Host::new();
    for file in 0..10 {
        fs::write(host.layer().join(file.to_string()), "").unwrap();
    }
    host.start(true, Bounds { entries: 5, ..BOUNDS });
    host.until("a walk that is given up", |reading, _| reading.walks_given_up == 1);
    std::thread::sleep(PERIOD * 3);
    let reading = host.tick();
    assert_eq!(reading.walks_given_up, 1, "it must not be retried immediately");
    assert_eq!(host.row.disk, None);
}

#[test]
fn a_walk_takes_two_per_cent_of_a_core_at_most() {
    let mut host = Host::new();
    for file in 0..12_000 {
        fs::File::create(host.layer().join(file.to_string())).unwrap();
    }
    // The duration of a walk without rests and with all metadata in memory.
    let root = Directory::host_root(Path::new("/nowhere")).unwrap();
    let alone = || {
        let mut walk = walk::Walk::new(root.on_host(&host.layer()).unwrap(), BOUNDS).unwrap();
        let begun = Instant::now();
        assert!(matches!(walk.step(Duration::from_secs(60)), walk::Step::Done(_)));
        begun.elapsed()
    };
    let alone = alone().min(alone());
    let begun = Instant::now();
    host.start(true, BOUNDS);
    host.until("the end of the walk", |_, usage| usage.is_some());
    // The walk should take fifty times as long, except for the last slice, which no rest follows.
    println!("{alone:?} alone, {:?} with rests", begun.elapsed());
    assert!(begun.elapsed() >= alone * 15, "{alone:?} alone, {:?} with rests", begun.elapsed());
}

#[test]
fn a_hanging_filesystem_does_not_stall_the_tick_and_its_values_become_absent() {
    let mut host = Host::new();
    host.start(true, BOUNDS);
    host.until("a walk", |_, usage| usage.is_some());
    // Reading the second container's process hangs: opening a pipe waits for a writer forever.
    let id = "d".repeat(64);
    let write = |path: String, text: &str| {
        let path = host.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(format!("cgroup/docker/{id}/cgroup.procs"), "8\n");
    write("proc/8/cgroup".into(), &format!("0::/docker/{id}\n"));
    let pipe = CString::new(host.root.path().join("proc/8/mountinfo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string that is valid during the call.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let identity =
        Identity { cgroup_path: format!("/docker/{id}"), id, ..(*host.container.identity).clone() };
    let other = Container { key: 2, identity: Arc::new(identity), cgroup_id: 2, slot: None };
    let mut row = ContainerRow::new(other.identity.clone(), SystemTime::now());
    host.disk.as_mut().unwrap().collect(&other, &mut row).unwrap();
    host.until("stale values to be removed", |_, usage| usage.is_none());
    let reading = host.tick();
    assert!(reading.age.unwrap() > PERIOD * STALE_PERIODS && reading.duration.is_none(), "{reading:?}");
    let begun = Instant::now();
    drop(host.disk.take());
    assert!(begun.elapsed() < Duration::from_secs(1), "shutdown waited: {:?}", begun.elapsed());
}

#[test]
fn a_process_of_a_nested_container_does_not_determine_the_layer() {
    let mut host = Host::new();
    let own = host.root.path().join("cgroup").join(&host.container.identity.cgroup_path[1..]);
    let inner = own.join("docker").join("e".repeat(64));
    fs::create_dir_all(&inner).unwrap();
    fs::rename(own.join("cgroup.procs"), inner.join("cgroup.procs")).unwrap();
    host.start(true, BOUNDS);
    host.until("a round", |reading, _| reading.age.is_some());
    std::thread::sleep(PERIOD * 3);
    host.tick();
    assert_eq!(host.row.disk, None);
}

#[test]
fn a_layer_that_does_not_exist_or_is_not_a_directory_is_absent() {
    for options in ["rw,upperdir=/nowhere/at/all", "rw,upperdir=/etc/passwd", "rw,upperdir=/proc/self/fd/0"] {
        let mut host = Host::new();
        host.mount(options);
        host.start(true, BOUNDS);
        host.until("a round", |reading, _| reading.age.is_some());
        std::thread::sleep(PERIOD * 2);
        assert_eq!((host.tick().walks_given_up, host.row.disk.clone()), (0, None), "{options}");
    }
}

#[test]
fn a_process_that_is_still_in_its_runtimes_root_does_not_determine_the_layer() {
    let host = Host::new();
    fs::write(host.root.path().join("proc/7/mountinfo"), "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n").unwrap();
    let root = host.root.path().to_owned();
    let shared = Shared::default();
    let identity = &host.container.identity;
    let (id, cgroup_path) = (identity.id.clone(), identity.cgroup_path.clone());
    shared.add(1, Subject { key: 1, id, cgroup_path, since: Instant::now() });
    let mut disk = Rounds::new(host.options(true, BOUNDS), shared.clone()).unwrap();
    disk.round();
    assert!(!disk.is_walking());
    host.mount(&format!("rw,upperdir={}", host.layer().display()));
    disk.round();
    assert!(!disk.is_walking());
    // The second identical reading confirms the root.
    disk.round();
    assert!(disk.is_walking());
    fs::remove_file(root.join("proc/7/mountinfo")).unwrap();
    disk.round();
    while disk.walk(Duration::from_secs(1)).is_some() {}
    disk.round();
    let usage = shared.latest().unwrap().layers.get(&1).cloned();
    assert_eq!(usage.map(|usage| usage.source), Some(DiskSource::Walk));
}
