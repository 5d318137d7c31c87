//! Real runtimes other than Docker: Podman, containerd alone, and containerd as Kubernetes uses it. Also names from the
//! files that these and Docker write, without a socket.
//!
//! Each test has its own daemon. Only one daemon runs at a time.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use glassbox::{
    config::Paths,
    containers::{
        cgroup::{self, Layout},
        containerd::ContainerdApi,
        cri::{self, CriApi},
        docker::DockerApi,
        files,
        metadata::{Metadata, MetadataStore, Unresolved},
        source::Source,
        watcher::{RuntimeClient, RuntimeWatcher},
    },
    snapshot::identity::Runtime,
};
use glassbox_tests::{
    containerd::{Containerd, IMAGE},
    docker::{Container, Docker, Network, eventually},
    pod::{self, Pod},
    podman::Podman,
    skip,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The value, or `None` after printing why the test is skipped.
fn or_skip<T>(given: Result<T, String>) -> Option<T> {
    // The name of a test is the name of its thread.
    let test = std::thread::current();
    given.map_err(|reason| skip(test.name().unwrap_or_default(), &reason)).ok()
}

/// Watchers on a thread.
struct Watching {
    metadata: MetadataStore,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Watching {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { metadata: MetadataStore::new(), runtime: Some(runtime) }
    }

    fn start(&self, watch: impl Future<Output = Infallible> + Send + 'static) {
        self.runtime.as_ref().unwrap().spawn(watch);
    }

    fn ask<Language: 'static>(&self, source: Source, socket: PathBuf)
    where
        RuntimeWatcher<Language>: RuntimeClient,
    {
        self.start(RuntimeWatcher::<Language>::new(source, socket, labels(), self.metadata.clone()).watch());
    }

    fn until_connected(&self, runtime: Runtime) {
        eventually("the runtime answers", TIMEOUT, || {
            (self.metadata.runtimes() == [(runtime, Ok(()))]).then_some(())
        });
    }

    fn names(&self, id: &str, wanted: impl Fn(&Metadata) -> bool) -> Metadata {
        eventually("the expected names", TIMEOUT, || self.metadata.get(id).filter(&wanted))
    }

    /// Does what the tracker does with a container that no runtime has reported.
    fn see(&self, id: &str) -> cgroup::Found {
        let layout = Layout::detect(Path::new("/sys/fs/cgroup")).unwrap();
        let found = cgroup::walk(&layout).unwrap().found;
        let own = found.into_iter().find(|found| found.own && found.container == id).expect("its cgroup");
        self.metadata.report_unresolved(Unresolved {
            id: id.to_owned(),
            cgroup_path: own.path.clone(),
            runtime: own.runtime,
        });
        own
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn labels() -> Vec<String> {
    vec!["glassbox.*".to_owned()]
}

fn nowhere() -> Paths {
    let nowhere = PathBuf::from("/nowhere");
    Paths {
        docker: nowhere.clone(),
        containerd: nowhere.clone(),
        containers_storage: nowhere.clone(),
        logs: nowhere,
        ..Paths::default()
    }
}

fn is_recent(time: Option<SystemTime>) -> bool {
    let now = SystemTime::now();
    time.is_some_and(|time| (now - Duration::from_secs(60)..=now).contains(&time))
}

#[test]
fn podman_containers_are_named_by_its_socket_and_its_files() {
    let Some(podman) = or_skip(Podman::start()) else { return };
    let watching = Watching::new();
    let source = Source::from(Runtime::Podman);
    watching.ask::<DockerApi>(source, podman.socket());
    watching.until_connected(Runtime::Podman);
    let run = podman.run("first", &["--label", "glassbox.kept=yes", "--label", "other=1"], &["sleep", "600"]);
    let Some(id) = or_skip(run) else { return };
    let names = watching.names(&id, |names| names.started_at.is_some());
    assert_eq!((names.name.as_str(), names.runtime), ("first", Runtime::Podman));
    assert_eq!(names.image, "localhost/glassbox-tests:1");
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["glassbox.kept"]);
    assert!(is_recent(names.started_at), "{:?}", names.started_at);
    let own = watching.see(&id);
    assert_eq!(own.runtime, Runtime::Podman, "{}", own.path);

    podman.podman(&["rename", "first", "second"]).unwrap();
    watching.names(&id, |names| names.name == "second");

    // A watcher that starts after the container.
    let later = Watching::new();
    later.ask::<DockerApi>(source, podman.socket());
    let names = later.names(&id, |names| names.started_at.is_some());
    assert_eq!(names.name, "second");

    let files = Watching::new();
    let roots = Paths { containers_storage: podman.storage(), ..nowhere() };
    let reader = files::start(&roots, &labels(), &files.metadata);
    files.start(files::watch(roots, reader, files.metadata.clone()));
    files.see(&id);
    let names = files.names(&id, |_| true);
    assert_eq!((names.name.as_str(), names.runtime), ("second", Runtime::Podman));
    assert_eq!(names.image, "localhost/glassbox-tests:1");
}

#[test]
fn containerd_containers_are_named_by_events_and_by_the_listing() {
    let Some(mut containerd) = or_skip(Containerd::start()) else { return };
    let watching = Watching::new();
    let source = Source::from(Runtime::Containerd);
    watching.ask::<ContainerdApi>(source, containerd.socket());
    watching.until_connected(Runtime::Containerd);
    let arguments = ["--label", "nerdctl/name=web", "--label", "glassbox.kept=yes", "--label", "other=1"];
    let Some(()) = or_skip(containerd.run("default", A, &arguments, &["/bin/sleep", "600"])) else { return };
    let names = watching.names(A, |names| names.started_at.is_some());
    assert_eq!((names.name.as_str(), names.image.as_str()), ("web", IMAGE));
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["glassbox.kept"]);
    assert!(is_recent(names.started_at), "{:?}", names.started_at);
    watching.see(A);

    containerd.kill();
    eventually("the watcher notices the lost connection", TIMEOUT, || {
        matches!(watching.metadata.runtimes()[..], [(_, Err(_))]).then_some(())
    });
    assert_eq!(watching.names(A, |_| true).name, "web");
    containerd.restart();
    watching.until_connected(Runtime::Containerd);

    let later = Watching::new();
    later.ask::<ContainerdApi>(source, containerd.socket());
    assert_eq!(later.names(A, |_| true).name, "web");

    let files = Watching::new();
    let roots = Paths { containerd: containerd.state(), ..nowhere() };
    let reader = files::start(&roots, &labels(), &files.metadata);
    files.start(files::watch(roots, reader, files.metadata.clone()));
    files.see(A);
    assert_eq!(files.names(A, |_| true).runtime, Runtime::Containerd);
}

#[test]
fn a_kubernetes_pod_is_named_by_the_cri_plugin_and_by_files() {
    let Some(containerd) = or_skip(Containerd::start()) else { return };
    let watching = Watching::new();
    let source = Source::from(Runtime::Containerd);
    watching.ask::<CriApi>(source, containerd.socket());
    watching.until_connected(Runtime::Containerd);
    let Some(pod) = or_skip(Pod::run(&containerd)) else { return };
    let Some(id) = or_skip(pod.start(0, 0, &[])) else { return };
    let own = watching.see(&id);
    assert!(own.path.starts_with(&Containerd::cgroup_parent(pod::UID)), "{}", own.path);
    let names = watching.names(&id, |names| names.started_at.is_some());
    assert_eq!((names.namespace.as_deref(), names.pod.as_deref()), (Some("prod"), Some("web-0")));
    assert_eq!(names.kubernetes_container.as_deref(), Some("app"));
    assert_eq!(names.image, IMAGE);
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["glassbox.kept"]);
    assert!(is_recent(names.started_at), "{:?}", names.started_at);
    assert_eq!(watching.names(&pod.sandbox, |_| true).kubernetes_container.as_deref(), Some("POD"));

    the_size_of_the_layer_is_reported(&watching, &containerd, source, &id, &own.path);

    let files = Watching::new();
    let roots = Paths { containerd: containerd.state(), ..nowhere() };
    let reader = files::start(&roots, &labels(), &files.metadata);
    files.start(files::watch(roots, reader, files.metadata.clone()));
    files.see(&id);
    files.see(&pod.sandbox);
    let names = files.names(&id, |_| true);
    assert_eq!((names.namespace.as_deref(), names.pod.as_deref()), (Some("prod"), Some("web-0")));
    assert_eq!((names.kubernetes_container.as_deref(), names.image.as_str()), (Some("app"), IMAGE));
    assert_eq!(files.names(&pod.sandbox, |_| true).kubernetes_container.as_deref(), Some("POD"));
}

/// The size that containerd reports grows by what is written.
fn the_size_of_the_layer_is_reported(
    watching: &Watching,
    containerd: &Containerd,
    source: Source,
    id: &str,
    cgroup_path: &str,
) {
    const WRITTEN_BYTES: u64 = 3 << 20;
    let (layers, period) = (watching.metadata.layers(), Duration::from_millis(300));
    let asking = cri::disk::watch(source, containerd.socket(), period, layers.clone());
    watching.start(asking);
    let before = eventually("a size", TIMEOUT, || layers.get(id, TIMEOUT));
    let layout = Layout::detect(Path::new("/sys/fs/cgroup")).unwrap();
    let pids = ["cpu", "memory"].into_iter().find_map(|controller| {
        let list = layout.directory(controller, cgroup_path)?.join("cgroup.procs");
        std::fs::read_to_string(list).ok().filter(|pids| !pids.is_empty())
    });
    let pid = pids.as_deref().and_then(|pids| pids.lines().next()).expect("a process").to_owned();
    let file = format!("/proc/{pid}/root/written");
    std::fs::write(&file, vec![7; WRITTEN_BYTES as usize]).unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    let after = eventually("the size with what was written", TIMEOUT, || {
        layers.get(id, TIMEOUT).filter(|after| *after >= before + WRITTEN_BYTES)
    });
    println!("{before} bytes, {after} after {WRITTEN_BYTES} more");
    assert!(after - before <= WRITTEN_BYTES + 8192, "{before} bytes, {after} after {WRITTEN_BYTES} more");
}

#[test]
fn docker_containers_are_named_by_files_alone() {
    let Some(docker) = or_skip(Docker::own(Network::None)) else { return };
    let data = docker.daemon().data();
    let arguments = ["--label", "glassbox.kept=yes", "--label", "other=1"];
    let container = Container::run(&docker, "written", &arguments, &["sleep", "600"]);
    let files = Watching::new();
    let roots = Paths { docker: data, ..nowhere() };
    let reader = files::start(&roots, &labels(), &files.metadata);
    files.start(files::watch(roots, reader, files.metadata.clone()));
    files.see(&container.id);
    let names = files.names(&container.id, |_| true);
    assert_eq!((names.name.as_str(), names.image.as_str()), ("written", glassbox_tests::docker::IMAGE));
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["glassbox.kept"]);
    assert!(is_recent(names.started_at), "{:?}", names.started_at);
}
