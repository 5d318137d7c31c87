//! Tests of the rounds on a simulated procfs with real device nodes, if they can be made.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt as _, os::unix::fs::symlink, path::PathBuf};

use super::*;
use crate::{
    containers::cgroup::Layout,
    snapshot::inference::{Inference, Library, ModelLoad},
};

const KEY: u64 = 7;

struct Host {
    root: tempfile::TempDir,
    rounds: Rounds,
    subject: Subject,
}

impl Host {
    /// A host with a container that has one process.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let cgroup = root.path().join("cgroup");
        fs::create_dir_all(cgroup.join("docker/a")).unwrap();
        fs::write(cgroup.join("cgroup.controllers"), "cpu\n").unwrap();
        fs::write(cgroup.join("docker/a/cgroup.procs"), "12\n").unwrap();
        let host = root.path().join("proc/12");
        for directory in ["fd", "fdinfo", "container/dev"] {
            fs::create_dir_all(host.join(directory)).unwrap();
        }
        symlink("container", host.join("root")).unwrap();
        fs::write(host.join("statm"), "9 5 1 1 0 1 0\n").unwrap();
        fs::write(host.join("maps"), "1-9 r-xp 00000000 00:2f 7 /x/libonnxruntime.so.1\n").unwrap();
        let layout = Layout::detect(&cgroup).unwrap();
        let rounds = Rounds::new(layout, root.path().join("proc"), Shared::default());
        let subject = Subject::new("/docker/a".into(), Instant::now());
        Self { root, rounds, subject }
    }

    fn process(&self) -> PathBuf {
        self.root.path().join("proc/12")
    }

    /// Gives the container a device. False if this test may not make device nodes.
    fn give(&self, name: &str, major: u32, minor: u32) -> bool {
        let path = self.process().join("container/dev").join(name);
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a C string.
        unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(major, minor)) == 0 }
    }

    fn open(&self, descriptor: &str, target: &str, position: u64) {
        let link = self.process().join("fd").join(descriptor);
        let _ = fs::remove_file(&link);
        symlink(target, link).unwrap();
        fs::write(
            self.process().join("fdinfo").join(descriptor),
            format!("pos:\t{position}\nflags:\t02100000\n"),
        )
        .unwrap();
    }

    fn at(&mut self, ms: u64) -> Option<Inference> {
        let now = self.subject.since + Duration::from_millis(ms);
        self.rounds.look_at(KEY, &self.subject, now);
        self.rounds.of(KEY)
    }
}

#[test]
fn a_container_without_gpus_has_no_values_unless_its_memory_grows() {
    let mut host = Host::new();
    symlink("/dev/null", host.process().join("container/dev/nvidia0")).unwrap();
    fs::write(host.process().join("container/dev/nvidia1"), "").unwrap();
    host.give("nvidia2", 1, 3);
    host.give("nvidiactl", 195, 255);
    host.open("3", "/models/a.onnx", 5 << 20);
    for second in 0..100 {
        assert_eq!(host.at(second * 1000), None);
        host.open("4", "/models/b.onnx", second << 20);
    }
    // The first look is the one with which later ones are compared.
    assert_eq!(host.rounds.files_looked_at(KEY), Some(host.subject.since + Duration::from_secs(2)));
}

#[test]
fn memory_grows_by_16_mib_on_the_host_or_on_a_gpu() {
    let filled = |host_bytes, gpu_bytes| Filled { host_bytes, gpu_bytes };
    let before = filled(Some(100 << 20), 50 << 20);
    for (now, grows) in [
        (filled(Some(115 << 20), 65 << 20), false),
        (filled(Some(116 << 20), 50 << 20), true),
        (filled(Some(10 << 20), 66 << 20), true),
        (filled(None, 50 << 20), false),
    ] {
        assert_eq!(now.has_grown_since(before), grows);
    }
    assert!(!before.has_grown_since(filled(None, 50 << 20)), "it was unknown before");
}

#[test]
fn loads_of_a_container_without_gpus_are_read_while_its_memory_grows() {
    let mut host = Host::new();
    let grow = |host: &Host| host.subject.has_grown.store(true, Ordering::Relaxed);
    host.open("4", "/models/open-before.onnx", 5 << 20);
    assert_eq!((host.at(1000), host.at(2000)), (None, None));
    host.open("3", "/models/a.onnx", 2 << 20);
    assert_eq!(host.at(10_000), None, "its memory does not grow");
    grow(&host);
    assert_eq!(host.at(11_000), None, "it may have been read long ago");
    // While it loads, its memory need not grow further.
    host.open("3", "/models/a.onnx", 5 << 20);
    let load = ModelLoad { duration: Duration::from_millis(100), read_bytes: 5 << 20 };
    let found = host.at(11_100).unwrap();
    assert_eq!((found.gpus_given, found.libraries.is_empty(), found.load), (0, true, Some(load)));
    host.at(11_200);
    host.at(20_000);
    assert!(!host.rounds.is_loading(KEY));
    host.open("5", "/models/b.onnx", 9 << 20);
    assert_eq!(host.at(21_000).unwrap().load, Some(load), "its memory does not grow any more");
    assert!(!host.subject.has_grown.load(Ordering::Relaxed));
}

#[test]
fn libraries_and_loads_of_a_container_with_gpus_are_read() {
    let mut host = Host::new();
    if !host.give("nvidia0", 195, 0) || !host.give("nvidia3", 195, 3) {
        eprintln!("skipped: device nodes cannot be made");
        return;
    }
    assert_eq!(host.at(500), None, "its process may still be in the runtime's root");
    assert_eq!(host.at(1000), None, "one look is not enough");
    let found = host.at(2000).unwrap();
    assert_eq!((found.gpus_given, found.has_model_file, found.load), (2, false, None));
    assert_eq!(found.libraries, [Library::OnnxRuntime].into_iter().collect());
    host.open("3", "/models/a.onnx", 2 << 20);
    host.at(3000);
    host.open("3", "/models/a.onnx", 5 << 20);
    let found = host.at(3100).unwrap();
    assert!(found.has_model_file);
    let load = ModelLoad { duration: Duration::from_millis(100), read_bytes: 5 << 20 };
    assert_eq!(found.load, Some(load));
    // The process ends, and later the container has no process that can be read.
    fs::remove_dir_all(host.process()).unwrap();
    assert_eq!(host.at(9000).unwrap().load.map(|load| load.read_bytes), Some(5 << 20));
    assert_eq!(host.at(60_000), None);
}

#[test]
fn a_mapped_model_counts_as_a_model() {
    let mut host = Host::new();
    if !host.give("nvidia0", 195, 0) {
        eprintln!("skipped: device nodes cannot be made");
        return;
    }
    let maps = "7f10a0000000-7f10c0000000 r--p 00000000 00:2f 7 /m/a.gguf\n1-9 r-xp 00000000 00:2f 7 /x/libggml.so\n";
    fs::write(host.process().join("maps"), maps).unwrap();
    host.at(1000);
    let found = host.at(2000).unwrap();
    assert!(found.has_model_file && found.load.is_none());
    fs::write(host.process().join("maps"), "").unwrap();
    let found = host.at(40_000).unwrap();
    assert!(found.has_model_file && found.libraries.is_empty());
}
