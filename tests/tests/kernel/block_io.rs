//! Block I/O of a container on a disk that belongs to the test, so that its size is known exactly.

use std::{fs, os::fd::AsRawFd as _, path::Path, time::Duration};

use glassbox::exposition::{self, Scope, Text};
use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    disk::{Disk, load_modules},
    docker::eventually,
    inapplicable,
    worker::{TRANSFER_BYTES, Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, latest},
};

const WRITES: u32 = 80;
const READS: u32 = 48;
/// A limit that no disk reaches. The rule as such makes newer kernels count for cgroup v1.
const NO_LIMIT: u64 = 1 << 40;

#[test]
fn disk_reads_and_writes_of_a_container_are_exported_to_the_byte() {
    let test = "disk_reads_and_writes_of_a_container_are_exported_to_the_byte";
    load_modules();
    let disk = match Disk::new(16 << 20) {
        Ok(disk) => disk,
        Err(reason) => return inapplicable(test, &reason),
    };
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    let root = v2_root().unwrap();
    let (cgroup, id) = Cgroup::container(&root).unwrap();
    let pure = root == Path::new(ROOT);
    // Beside v1, block I/O is accounted in its own hierarchy.
    let v1 = (!pure).then(|| Cgroup::new(&Path::new(ROOT).join("blkio"), &format!("docker/{id}")).unwrap());
    match &v1 {
        Some(blkio) => {
            for file in ["blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device"] {
                fs::write(blkio.path().join(file), format!("{} {NO_LIMIT}", disk.numbers())).unwrap();
            }
        }
        None => fs::write(root.join("docker/cgroup.subtree_control"), "+io").unwrap(),
    }
    let device = disk.open_direct();
    let work = Work::Transfer { device: device.as_raw_fd(), writes: WRITES, reads: READS };
    let worker = Worker::start(&cgroup, work, None);
    if let Some(blkio) = &v1 {
        blkio.enter(worker.pid).unwrap();
    }
    let (path, name) = (format!("/docker/{id}"), disk.path().display().to_string());
    let mut shown = |family: &str| {
        engine.tick();
        let mut text = Text::default();
        exposition::encode(&latest(&snapshots), Scope::Inherited, &mut text);
        let scrape = Scrape::parse(std::str::from_utf8(&text.take()).unwrap());
        let of = [("id".to_owned(), path.clone()), ("device".to_owned(), name.clone())];
        scrape.of(family, &of).next().map(|sample| sample.value)
    };
    // v1 lists a device as soon as it has a rule.
    let before = shown("container_fs_writes_bytes_total");
    assert!(before.is_none_or(|bytes| bytes == 0.0), "{before:?} before any I/O");
    worker.go();
    let bytes = |transfers: u32| f64::from(transfers) * TRANSFER_BYTES as f64;
    eventually("the last byte is counted", Duration::from_secs(20), || {
        (shown("container_fs_reads_bytes_total") == Some(bytes(READS))).then_some(())
    });
    assert_eq!(shown("container_fs_writes_bytes_total"), Some(bytes(WRITES)));
    // A transfer may be split into several requests.
    for (family, transfers) in [("container_fs_writes_total", WRITES), ("container_fs_reads_total", READS)] {
        let requests = shown(family).unwrap();
        assert!(
            requests >= f64::from(transfers) && requests % f64::from(transfers) == 0.0,
            "{family} {requests}"
        );
    }
    // Nothing else uses the device.
    assert_eq!(shown("container_fs_reads_bytes_total"), Some(bytes(READS)));
}
