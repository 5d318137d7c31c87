//! Whose series an interface becomes, on made-up process trees.

use std::{fs, path::Path, sync::Arc, time::SystemTime};

use super::*;
use crate::{
    config::{self, Config},
    snapshot::identity::{Identity, Runtime},
};

/// A v2 host whose processes are directories of files.
struct Host {
    root: tempfile::TempDir,
    collector: Box<dyn Collector>,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("cgroup")).unwrap();
        fs::write(root.path().join("cgroup/cgroup.controllers"), "cpu memory\n").unwrap();
        process(root.path(), 1, "host", 0);
        let config = Config {
            paths: config::Paths { proc: root.path().join("proc"), ..config::Paths::default() },
            ..Config::default()
        };
        let layout = Layout::detect(&root.path().join("cgroup")).unwrap();
        let mut context = Context {
            config: &config,
            layout: &layout,
            kernel: None,
            kernel_error: None,
            layers: Default::default(),
        };
        let collector = (SPEC.start)(&mut context).unwrap();
        Self { root, collector }
    }

    fn process(&self, number: u32, namespace: &str, bytes: u64) {
        process(self.root.path(), number, namespace, bytes);
    }

    fn container(&self, key: u64, path: &str, processes: &str) -> (Container, ContainerRow) {
        let directory = self.root.path().join("cgroup").join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("cgroup.procs"), processes).unwrap();
        let identity = Arc::new(Identity {
            id: path.into(),
            cgroup_path: format!("/{path}"),
            runtime: Runtime::Docker,
            container: path.into(),
            ..Identity::default()
        });
        let row = ContainerRow::new(Arc::clone(&identity), SystemTime::now());
        (Container { key, identity, cgroup_id: 0, slot: None }, row)
    }

    fn received(&mut self, of: &mut (Container, ContainerRow)) -> Option<u64> {
        self.collector.collect(&of.0, &mut of.1).unwrap();
        of.1.network.first().map(|interface| interface.receive_bytes)
    }
}

/// A process in a namespace, which is a file that its processes link to.
fn process(root: &Path, number: u32, namespace: &str, bytes: u64) {
    let namespaces = root.join("namespaces");
    fs::create_dir_all(&namespaces).unwrap();
    let directory = root.join("proc").join(number.to_string());
    fs::create_dir_all(directory.join("ns")).unwrap();
    fs::create_dir_all(directory.join("net")).unwrap();
    let namespace = namespaces.join(namespace);
    if !namespace.exists() {
        fs::write(&namespace, "").unwrap();
    }
    let _ = fs::remove_file(directory.join("ns/net"));
    fs::hard_link(namespace, directory.join("ns/net")).unwrap();
    let text = format!("heading\n  lo: {}\n eth0: {bytes} {}\n", "1 ".repeat(16), "1 ".repeat(15));
    fs::write(directory.join("net/dev"), text).unwrap();
}

#[test]
fn a_container_with_a_namespace_of_its_own_has_its_interfaces() {
    let mut host = Host::new();
    host.process(10, "own", 100);
    let mut container = host.container(1, "a", "10\n");
    assert_eq!(host.received(&mut container), Some(100));
    host.process(10, "own", 200);
    assert_eq!(host.received(&mut container), Some(200));
}

#[test]
fn the_hosts_network_is_nobodys() {
    let mut host = Host::new();
    host.process(10, "host", 100);
    let mut container = host.container(1, "a", "10\n");
    assert_eq!(host.received(&mut container), None);
}

#[test]
fn of_those_that_share_a_namespace_the_first_has_the_series_until_it_goes() {
    let mut host = Host::new();
    host.process(10, "shared", 100);
    host.process(20, "shared", 100);
    let mut first = host.container(1, "a", "10\n");
    let mut second = host.container(2, "b", "20\n");
    assert_eq!(host.received(&mut first), Some(100));
    assert_eq!(host.received(&mut second), None);
    host.collector.forget(&first.0);
    let taken_over = (0..RETRY_EVERY_TICKS).filter_map(|_| host.received(&mut second)).next();
    assert_eq!(taken_over, Some(100));
}

#[test]
fn processes_in_a_nested_cgroup_count() {
    let mut host = Host::new();
    host.process(10, "own", 100);
    let mut container = host.container(1, "a", "");
    host.container(9, "a/nested/deeper", "10\n");
    assert_eq!(host.received(&mut container), Some(100));
}

#[test]
fn a_container_without_processes_is_tried_again() {
    let mut host = Host::new();
    host.process(10, "own", 100);
    let mut container = host.container(1, "a", "");
    assert_eq!(host.received(&mut container), None);
    // A process that the agent's PID namespace hides: reported at every tick, also between two attempts.
    container.0 = host.container(1, "a", "0\n").0;
    for _ in 0..2 * RETRY_EVERY_TICKS {
        let error = host.collector.collect(&container.0, &mut container.1).unwrap_err();
        assert!(error.to_string().contains("PID namespace"), "{error:#}");
    }
    container.0 = host.container(1, "a", "10\n").0;
    let seen = (0..RETRY_EVERY_TICKS).find_map(|_| {
        let _ = host.collector.collect(&container.0, &mut container.1);
        container.1.network.first().map(|interface| interface.receive_bytes)
    });
    assert_eq!(seen, Some(100));
}

#[test]
fn a_process_that_ends_between_two_looks_is_no_error() {
    let mut host = Host::new();
    let mut container = host.container(1, "a", "10\n");
    // It is listed, but has no directory: the kernel takes that away first.
    assert_eq!(host.received(&mut container), None);
    let mut container = host.container(2, "b", "");
    assert_eq!(host.received(&mut container), None);
}

#[test]
fn a_container_that_ends_keeps_its_last_values() {
    let mut host = Host::new();
    host.process(10, "own", 100);
    let mut container = host.container(1, "a", "10\n");
    assert_eq!(host.received(&mut container), Some(100));
    let emptied = || fs::write(host.root.path().join("proc/10/net/dev"), "heading\n  lo: 1\n").unwrap();
    // Still alive: the interface is really gone.
    emptied();
    assert_eq!(host.received(&mut container), None);

    host.process(10, "own", 300);
    assert_eq!(host.received(&mut container), Some(300));
    fs::write(host.root.path().join("proc/10/net/dev"), "heading\n  lo: 1\n").unwrap();
    host.container(1, "a", "");
    assert_eq!(host.received(&mut container), Some(300));
}

#[test]
fn without_a_process_1_the_agents_own_network_is_the_hosts() {
    let host = Host::new();
    fs::rename(host.root.path().join("proc/1"), host.root.path().join("proc/self")).unwrap();
    assert!(process::network_namespace(&host.root.path().join("proc"), "1").is_err());
    let config = Config {
        paths: config::Paths { proc: host.root.path().join("proc"), ..config::Paths::default() },
        ..Config::default()
    };
    let layout = Layout::detect(&host.root.path().join("cgroup")).unwrap();
    let mut context = Context {
        config: &config,
        layout: &layout,
        kernel: None,
        kernel_error: None,
        layers: Default::default(),
    };
    assert!((SPEC.start)(&mut context).is_ok());
    fs::remove_dir_all(host.root.path().join("proc")).unwrap();
    let error = (SPEC.start)(&mut context).err().unwrap();
    assert_eq!(error.to_string(), "find the host's network namespace");
}

#[test]
fn a_first_process_that_enters_its_own_namespace_late_does_not_show_that_of_its_daemon() {
    let mut host = Host::new();
    // The daemon is in a network namespace that is not the host's, as in a container that runs containers.
    host.process(10, "daemon", 5);
    let mut container = host.container(1, "a", "10\n");
    assert_eq!(host.received(&mut container), Some(5));
    host.process(10, "own", 7);
    assert_eq!(host.received(&mut container), Some(7));
    // The daemon's is free for a container that shares it.
    host.process(11, "daemon", 6);
    let mut other = host.container(2, "b", "11\n");
    assert_eq!(host.received(&mut other), Some(6));
    // Once it has settled, what one of its processes does is its own affair.
    for _ in 0..FIRST_TICKS {
        host.received(&mut container);
    }
    host.process(12, "third", 9);
    fs::write(host.root.path().join("cgroup/a/cgroup.procs"), "12\n").unwrap();
    assert_eq!(host.received(&mut container), Some(7));
}
