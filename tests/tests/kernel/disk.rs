//! Writable layers on a real filesystem with project quotas, compared with the kernel's usage.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use glassbox::{
    config::{self, Config},
    snapshot::disk::{DiskSource, DiskUsage},
    tick::{Engine, Snapshots},
};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    disk::{Disk, Filesystem, Mount, Root, load_modules, project},
    inapplicable,
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, row},
};

const MIB: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 4096;
const PERIOD: Duration = Duration::from_secs(1);
/// The collector skips containers that are younger than a second.
const MIN_AGE: Duration = Duration::from_millis(1500);

/// A container whose root is an overlay, and the agent.
struct Host {
    engine: Engine,
    snapshots: Snapshots,
    id: String,
    merged: PathBuf,
    _worker: Worker,
    _root: Root,
    _cgroup: Cgroup,
    _overlay: Mount,
}

impl Host {
    /// Starts a container with `diff` in this directory as its layer. `diff` must exist and be empty.
    fn new(directory: &Path, walk: bool) -> Self {
        let overlay = Mount::overlay(directory).unwrap_or_else(|error| panic!("mount an overlay: {error}"));
        let root = overlay.open();
        let config = Config {
            disk: config::Disk { period_s: PERIOD.into(), walk },
            kernel: config::Kernel { enabled: false, ..config::Kernel::default() },
            ..config()
        };
        let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
        let worker = Worker::start(&cgroup, Work::SleepIn(root.descriptor()), None);
        worker.go();
        let merged = overlay.path().to_owned();
        let inside = || fs::read_link(format!("/proc/{}/root", worker.pid)).is_ok_and(|root| root == merged);
        let begun = Instant::now();
        while !inside() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the process is not in its root");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut engine, snapshots) = engine(config);
        engine.tick();
        std::thread::sleep(MIN_AGE);
        Self {
            engine,
            snapshots,
            id,
            merged,
            _worker: worker,
            _root: root,
            _cgroup: cgroup,
            _overlay: overlay,
        }
    }

    /// Writes a file in the container.
    fn write(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut file = File::create(self.merged.join(name))?;
        for _ in 0..bytes / BLOCK_BYTES {
            file.write_all(&[7; BLOCK_BYTES as usize])?;
        }
        file.sync_all()
    }

    /// The usage after a round that was started after this call.
    fn after_a_round(&mut self) -> Option<DiskUsage> {
        let begun = Instant::now();
        loop {
            self.engine.tick();
            let snapshot = self.snapshots.borrow().clone().unwrap();
            let age = snapshot.host.disk.as_ref().and_then(|disk| disk.age);
            if age.is_some_and(|age| age < begun.elapsed()) {
                let row = row(&self.snapshots, &self.id).expect("the container");
                return row.disk.as_deref().cloned();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no round: {:?}", snapshot.host.disk);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A filesystem with project quotas. `None` after printing why the test is skipped.
fn filesystem(test: &str, mib: u64) -> Option<Filesystem> {
    load_modules();
    let made = Disk::new(mib * MIB).and_then(Disk::with_project_quotas);
    made.map_err(|reason| inapplicable(test, &reason)).ok()
}

/// Creates a directory for a container whose project is limited to this many bytes; 0 means no limit.
fn container(filesystem: &Filesystem, path: &str, number: u32, limit_bytes: u64) -> PathBuf {
    let directory = filesystem.path().join(path);
    fs::create_dir_all(&directory).unwrap();
    project::begin(&directory, number).unwrap();
    project::limit(filesystem, number, limit_bytes).unwrap();
    directory
}

fn near(value: u64, other: u64) -> bool {
    value.abs_diff(other) <= BLOCK_BYTES
}

#[test]
fn the_usage_of_a_layer_with_a_project_quota_is_that_of_the_filesystem() {
    let test = "the_usage_of_a_layer_with_a_project_quota_is_that_of_the_filesystem";
    let Some(filesystem) = filesystem(test, 64) else { return };
    let _alone = ALONE.lock();
    let directory = container(&filesystem, "overlay2/4f0c", 77, 10 * MIB);
    let mut host = Host::new(&directory, false);
    let empty = host.after_a_round().expect("the layer is known");
    assert_eq!((empty.limit_bytes, empty.source), (Some(10 * MIB), DiskSource::ProjectQuota));
    assert_eq!(&*empty.device, filesystem.disk().path().to_str().unwrap());
    let empty = empty.used_bytes.unwrap();

    host.write("first", 3 * MIB).unwrap();
    let used = host.after_a_round().unwrap().used_bytes.unwrap();
    println!("3 MiB written: {} shown, {} by quotactl", used, project::used_bytes(&filesystem, 77));
    assert!(near(used, empty + 3 * MIB), "{used}, {empty} before");
    assert!(near(used, project::used_bytes(&filesystem, 77)), "{used}");

    // Writes until the quota is exhausted.
    let refused = host.write("second", 20 * MIB).unwrap_err();
    assert!([Some(libc::EDQUOT), Some(libc::ENOSPC)].contains(&refused.raw_os_error()), "{refused}");
    let full = host.after_a_round().unwrap();
    println!("full: {full:?}, {} by quotactl", project::used_bytes(&filesystem, 77));
    assert!(near(full.used_bytes.unwrap(), 10 * MIB), "{full:?}");
    assert_eq!(full.limit_bytes, Some(10 * MIB));

    fs::remove_file(host.merged.join("second")).unwrap();
    // The filesystem frees the space some time later.
    let begun = Instant::now();
    loop {
        let used = host.after_a_round().unwrap().used_bytes.unwrap();
        let account = project::used_bytes(&filesystem, 77);
        if near(used, empty + 3 * MIB) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{used}, {account} by quotactl, {empty} at first");
        assert!(near(used, account) || account < used, "{used}, {account} by quotactl");
    }
}

#[test]
fn a_project_shared_by_several_containers_is_not_attributed_to_any() {
    let test = "a_project_shared_by_several_containers_is_not_attributed_to_any";
    let Some(filesystem) = filesystem(test, 64) else { return };
    let _alone = ALONE.lock();
    container(&filesystem, "docker", 5, 20 * MIB);
    let directory = filesystem.path().join("docker/overlay2/4f0c");
    fs::create_dir_all(&directory).unwrap();
    let mut host = Host::new(&directory, false);
    host.write("file", MIB).unwrap();
    assert!(project::used_bytes(&filesystem, 5) >= MIB, "the file is of the project");
    assert_eq!(host.after_a_round(), None);
}

#[test]
fn a_project_without_a_limit_is_read_with_quotactl() {
    let test = "a_project_without_a_limit_is_read_with_quotactl";
    let Some(filesystem) = filesystem(test, 64) else { return };
    let _alone = ALONE.lock();
    let directory = container(&filesystem, "overlay2/4f0c", 78, 0);
    let mut host = Host::new(&directory, false);
    host.write("file", 2 * MIB).unwrap();
    let usage = host.after_a_round();
    // SAFETY: the arguments are invalid; if the system call exists, it returns an error for them.
    unsafe { libc::syscall(libc::SYS_quotactl_fd, -1, 0, 0, 0) };
    if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        println!("this kernel has no quotactl_fd");
        assert_eq!(usage, None);
        return;
    }
    let usage = usage.expect("the layer is known");
    assert_eq!((usage.limit_bytes, usage.source), (None, DiskSource::ProjectQuota));
    let used = usage.used_bytes.unwrap();
    assert!(near(used, project::used_bytes(&filesystem, 78)) && used >= 2 * MIB, "{used}");
}

#[test]
fn a_quota_larger_than_the_free_space_gives_no_wrong_usage() {
    let test = "a_quota_larger_than_the_free_space_gives_no_wrong_usage";
    let Some(filesystem) = filesystem(test, 32) else { return };
    let _alone = ALONE.lock();
    let directory = container(&filesystem, "overlay2/4f0c", 77, 20 * MIB);
    let mut host = Host::new(&directory, false);
    host.write("file", 2 * MIB).unwrap();
    // Files of others take nearly all remaining space.
    let mut others = File::create(filesystem.path().join("others")).unwrap();
    while others.write_all(&[7; BLOCK_BYTES as usize]).is_ok() {}
    let _ = others.sync_all();
    let usage = host.after_a_round().expect("its limit is known");
    println!("{usage:?}, quotactl: {}", project::used_bytes(&filesystem, 77));
    assert_eq!(usage.limit_bytes, Some(20 * MIB));
    // Only quotactl can report the usage then.
    assert!(
        usage.used_bytes.is_none_or(|used| near(used, project::used_bytes(&filesystem, 77))),
        "{usage:?}"
    );
}

#[test]
fn a_layer_without_a_quota_is_walked_if_configured() {
    let test = "a_layer_without_a_quota_is_walked_if_configured";
    load_modules();
    let Some(filesystem) =
        Disk::new(64 * MIB).and_then(Disk::with_ext4).map_err(|reason| inapplicable(test, &reason)).ok()
    else {
        return;
    };
    let _alone = ALONE.lock();
    let directory = filesystem.path().join("overlay2/4f0c");
    fs::create_dir_all(&directory).unwrap();
    let mut host = Host::new(&directory, true);
    host.write("file", 3 * MIB).unwrap();
    fs::hard_link(host.merged.join("file"), host.merged.join("again")).unwrap();
    let begun = Instant::now();
    loop {
        let usage = host.after_a_round();
        let expected = 3 * MIB + BLOCK_BYTES;
        let walked = usage.as_ref().filter(|usage| usage.used_bytes.is_some_and(|used| near(used, expected)));
        if let Some(usage) = walked {
            assert_eq!((usage.source, usage.limit_bytes), (DiskSource::Walk, None));
            assert_eq!(&*usage.device, filesystem.disk().path().to_str().unwrap());
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{usage:?}");
    }
}
