//! The watcher against fake runtimes of all kinds on a Unix socket.

use std::{io::Write as _, time::Duration};

use prost::Message as _;

use super::{
    messages::{
        CONTAINER_STATUS, CREATED, Container, ContainerEventResponse, ContainerMetadata, ContainerStatus,
        ContainerStatusResponse, DELETED, EXITED, GET_CONTAINER_EVENTS, ImageSpec, LIST_CONTAINERS,
        LIST_POD_SANDBOX, ListContainersResponse, ListPodSandboxResponse, PodSandboxMetadata, READY, RUNNING,
        VERSION, VersionResponse,
    },
    names::time_of,
    *,
};
use crate::{
    containers::{
        grpc::test_server::{Answer, Peer, UNIMPLEMENTED, reason, watch_until},
        lifecycle::{Exit, ReportedStatus},
        metadata::{Metadata, MetadataStore, Unresolved},
        source::Source,
    },
    snapshot::{identity::Runtime, lifecycle::ContainerState},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const P: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const CREATED_NS: i64 = 1_795_365_361_000_000_000;
const STARTED_NS: i64 = 1_795_365_362_239_103_573;
const FINISHED_NS: i64 = 1_795_365_399_000_000_000;

fn watch_peer(peer: &Peer, metadata: &MetadataStore, done: impl FnMut() -> bool) {
    let labels = vec!["kept".to_owned()];
    let source = Source::socket(Runtime::CriO, 3);
    let watcher = RuntimeWatcher::<CriApi>::new(source, peer.socket(), labels, metadata.clone());
    watch_until(watcher, metadata, done);
}

fn connected(metadata: &MetadataStore) -> bool {
    metadata.runtimes() == [(Runtime::CriO, Ok(()))]
}

fn pod() -> PodSandboxMetadata {
    PodSandboxMetadata { name: "web-0".into(), uid: "u-1".into(), namespace: "prod".into(), attempt: 1 }
}

fn sandbox() -> messages::PodSandbox {
    messages::PodSandbox {
        id: P.into(),
        metadata: Some(pod()),
        state: READY,
        created_at: STARTED_NS,
        ..Default::default()
    }
}

fn container(id: &str, name: &str) -> Container {
    Container {
        id: id.into(),
        pod_sandbox_id: P.into(),
        metadata: Some(ContainerMetadata { name: name.into(), attempt: 2 }),
        image: Some(ImageSpec { image: "sha256:00".into(), user_specified_image: "web:1".into() }),
        state: RUNNING,
        created_at: CREATED_NS,
        labels: [("kept".into(), "1".into()), ("dropped".into(), "2".into())].into_iter().collect(),
    }
}

/// The responses of a well-behaved runtime with these containers.
fn calm(path: &str, containers: Vec<Container>) -> Answer {
    match path {
        VERSION => Answer::one(&VersionResponse { runtime_name: "made-up".into() }),
        LIST_POD_SANDBOX => Answer::one(&ListPodSandboxResponse { items: vec![sandbox()] }),
        LIST_CONTAINERS => Answer::one(&ListContainersResponse { items: containers }),
        CONTAINER_STATUS => Answer::one(&ContainerStatusResponse { status: Some(status(A, "app")) }),
        GET_CONTAINER_EVENTS => Answer::Silence,
        path => panic!("an unexpected call of {path}"),
    }
}

fn status(id: &str, name: &str) -> ContainerStatus {
    let Container { id, metadata, image, labels, state, created_at, .. } = container(id, name);
    let started_at = STARTED_NS;
    ContainerStatus { id, metadata, state, created_at, started_at, image, labels, ..Default::default() }
}

/// Killed because it was out of memory.
fn ended(id: &str, name: &str) -> ContainerStatus {
    let (finished_at, reason) = (FINISHED_NS, messages::OOM_KILLED.to_owned());
    ContainerStatus { state: EXITED, finished_at, exit_code: 137, reason, ..status(id, name) }
}

fn started(id: &str, name: &str) -> ContainerEventResponse {
    ContainerEventResponse {
        container_id: id.into(),
        container_event_type: 1,
        pod_sandbox_status: Some(messages::PodSandboxStatus {
            id: P.into(),
            metadata: Some(pod()),
            ..Default::default()
        }),
        containers_statuses: vec![
            ContainerStatus { id: "another".into(), ..Default::default() }.encode_to_vec(),
            status(id, name).encode_to_vec(),
        ],
    }
}

#[test]
fn pods_and_their_containers_are_listed_and_queried_once() {
    let peer = Peer::new(|path, _| calm(path, vec![container(A, "app")]));
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || connected(&metadata) && peer.calls("Version") > 2);
    let names = metadata.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("k8s_app_web-0_prod_u-1_2", "web:1"));
    assert_eq!((names.namespace.as_deref(), names.pod.as_deref()), (Some("prod"), Some("web-0")));
    assert_eq!(names.kubernetes_container.as_deref(), Some("app"));
    assert_eq!(names.labels.into_iter().collect::<Vec<_>>(), [("kept".to_owned(), "1".to_owned())]);
    assert_eq!(names.started_at, time_of(STARTED_NS));
    let sandbox = metadata.get(P).unwrap();
    assert_eq!(sandbox.kubernetes_container.as_deref(), Some("POD"));
    assert_eq!(sandbox.started_at, time_of(STARTED_NS));
    assert_eq!((peer.calls("ListContainers"), peer.calls("ContainerStatus")), (1, 1));
}

#[test]
fn a_container_is_named_by_the_event_that_starts_it() {
    let events = [started(A, "app"), started(B, "gone")].map(|event| event.encode_to_vec());
    let deleted = ContainerEventResponse { container_event_type: DELETED, ..started(B, "gone") };
    let events = [events.to_vec(), vec![deleted.encode_to_vec()]].concat();
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Open(events.clone()),
        path => calm(path, Vec::new()),
    });
    let metadata = MetadataStore::new();
    let other = Metadata::new(Runtime::Docker, "other", "", [], &[]);
    // Any source can replace an entry that was removed.
    let removed = || {
        metadata.get(B).is_some_and(|names| names.kubernetes_container.is_some()) && {
            metadata.put(B, other.clone());
            metadata.get(B).is_some_and(|names| names.name == "other")
        }
    };
    watch_peer(&peer, &metadata, || metadata.get(A).is_some() && removed());
    let names = metadata.get(A).unwrap();
    assert_eq!((names.image.as_str(), names.pod.as_deref()), ("web:1", Some("web-0")));
    assert_eq!(names.started_at, time_of(STARTED_NS));
    assert_eq!((peer.calls("ListContainers"), peer.calls("ContainerStatus")), (1, 0));
}

#[test]
fn without_events_a_container_that_no_runtime_reports_leads_to_another_listing() {
    let peer = Peer::new(|path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Refusal(UNIMPLEMENTED),
        path => calm(path, vec![container(A, "app")]),
    });
    let metadata = MetadataStore::new();
    let unresolved = |runtime| Unresolved { id: B.into(), cgroup_path: String::new(), runtime };
    let mut reported = false;
    watch_peer(&peer, &metadata, || {
        if !reported && peer.calls("Version") > 2 {
            reported = true;
            assert_eq!(peer.calls("ListContainers"), 1);
            // A Kubernetes runtime does not have Docker's containers.
            metadata.report_unresolved(unresolved(Runtime::Docker));
            for _ in 0..100 {
                metadata.report_unresolved(unresolved(Runtime::Unknown));
            }
        }
        peer.calls("ListContainers") >= 3
    });
    // One listing at once and one later, not one per container.
    assert_eq!(peer.calls("ListContainers"), 3);
    assert_eq!(peer.calls("GetContainerEvents"), 1);
}

#[test]
fn a_runtime_without_cri_is_not_a_failure_and_is_retried() {
    let peer = Peer::new(|_, _| Answer::Refusal(UNIMPLEMENTED));
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || peer.calls("Version") >= 3);
    assert_eq!(metadata.runtimes(), []);
    assert!(metadata.first_listing_done());
}

#[test]
fn a_hanging_socket_times_out() {
    let peer = Peer::new(|_, _| Answer::Silence);
    let metadata = MetadataStore::new();
    let timed_out = |reason: String| reason.starts_with("request the version of cri-o: no response from ");
    watch_peer(&peer, &metadata, || peer.calls("Version") >= 3 && reason(&metadata).is_some_and(timed_out));
}

#[test]
fn a_socket_that_completes_no_handshake_times_out_and_is_closed() {
    let peer = Peer::absent();
    let listener = std::os::unix::net::UnixListener::bind(peer.socket()).unwrap();
    let (closed, all) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let closed = closed.clone();
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                let _ = closed.send(());
            });
        }
    });
    let metadata = MetadataStore::new();
    let mut ends = 0;
    watch_peer(&peer, &metadata, || {
        ends += all.try_iter().count();
        ends >= 2
    });
    assert!(reason(&metadata).unwrap().contains("no response from "));
}

#[test]
fn a_hanging_listing_times_out() {
    let peer = Peer::new(|path, _| match path {
        LIST_CONTAINERS => Answer::Silence,
        path => calm(path, Vec::new()),
    });
    let metadata = MetadataStore::new();
    let timed_out = |reason: String| reason.starts_with("list cri-o containers: no response from ");
    watch_peer(&peer, &metadata, || reason(&metadata).is_some_and(timed_out));
}

#[test]
fn a_runtime_that_hangs_later_times_out() {
    let peer = Peer::new({
        let asked = std::sync::atomic::AtomicUsize::new(0);
        move |path, _| match path {
            VERSION if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 => Answer::Silence,
            path => calm(path, Vec::new()),
        }
    });
    let metadata = MetadataStore::new();
    let mut was_connected = false;
    watch_peer(&peer, &metadata, || {
        was_connected |= connected(&metadata);
        reason(&metadata).is_some()
    });
    assert!(was_connected);
}

#[test]
fn an_invalid_response_is_an_error_and_is_retried() {
    for garbage in [
        vec![],
        vec![0; 4],
        // The length prefix claims 4 GiB.
        vec![0, 255, 255, 255, 255, 1, 2, 3],
        // A compressed message, and one with an unknown flag.
        vec![1, 0, 0, 0, 1, 7],
        vec![9, 0, 0, 0, 1, 7],
        // A field with an invalid wire type.
        vec![0, 0, 0, 0, 1, 15],
    ] {
        let answer = garbage.clone();
        let peer = Peer::new(move |path, _| match path {
            LIST_POD_SANDBOX => Answer::Garbage(answer.clone()),
            path => calm(path, Vec::new()),
        });
        let metadata = MetadataStore::new();
        watch_peer(&peer, &metadata, || peer.calls("ListPodSandbox") >= 3);
        assert!(reason(&metadata).is_some(), "{garbage:?}");
    }
}

#[test]
fn a_peer_without_http_is_an_error_and_is_retried() {
    let peer = Peer::absent();
    let listener = std::os::unix::net::UnixListener::bind(peer.socket()).unwrap();
    let (asked, all) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\x16\x03\x01\xff\xff");
            let _ = asked.send(());
        }
    });
    let metadata = MetadataStore::new();
    let mut attempts = 0;
    watch_peer(&peer, &metadata, || {
        attempts += all.try_iter().count();
        attempts >= 3
    });
    assert!(reason(&metadata).is_some());
}

#[test]
fn a_response_that_is_too_large_is_rejected() {
    let peer = Peer::new(|path, _| match path {
        LIST_CONTAINERS => {
            let mut container = container(A, "app");
            container.labels.entries.insert("kept".into(), "x".repeat(33 << 20));
            Answer::one(&ListContainersResponse { items: vec![container] })
        }
        path => calm(path, Vec::new()),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || reason(&metadata).is_some());
    assert!(reason(&metadata).unwrap().starts_with("list cri-o containers: "));
    assert!(metadata.get(A).is_none());
}

#[test]
fn endless_events_do_not_prevent_the_listing() {
    let event = started(B, "busy").encode_to_vec();
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Endless(event.clone()),
        path => calm(path, vec![container(A, "app")]),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || {
        metadata.get(A).is_some() && metadata.get(B).is_some() && connected(&metadata)
    });
    let generation = metadata.generation();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(metadata.generation(), generation, "a repeated event is not a change");
}

#[test]
fn a_crash_of_the_runtime_is_noticed_at_once_and_the_watcher_reconnects() {
    let peer = Peer::new(|path, _| calm(path, vec![container(A, "app")]));
    let metadata = MetadataStore::new();
    let mut step = 0;
    watch_peer(&peer, &metadata, || {
        step += match step {
            0 if connected(&metadata) => {
                peer.crash();
                1
            }
            1 if !connected(&metadata) => {
                assert_eq!(metadata.get(A).unwrap().kubernetes_container.as_deref(), Some("app"));
                peer.listen(|path, _| match path {
                    GET_CONTAINER_EVENTS => Answer::Refusal(UNIMPLEMENTED),
                    path => calm(path, vec![container(B, "new")]),
                });
                1
            }
            2 if metadata.get(B).is_some() && connected(&metadata) => {
                peer.crash();
                1
            }
            // Without events, the end of the connection shows the crash.
            3 if !connected(&metadata) => 1,
            _ => 0,
        };
        step == 4
    });
}

#[test]
fn a_missing_socket_is_reported() {
    let peer = Peer::absent();
    let metadata = MetadataStore::new();
    let missing = |reason: String| reason.starts_with("connect to ") && reason.contains("No such file");
    watch_peer(&peer, &metadata, || reason(&metadata).is_some_and(missing));
}

fn known(metadata: &MetadataStore, id: &str) -> ReportedStatus {
    metadata.status(id).unwrap_or_default()
}

fn killed() -> Exit {
    Exit { at: time_of(FINISHED_NS).unwrap(), code: Some(137) }
}

#[test]
fn the_status_comes_from_events_and_never_goes_back() {
    let state = |state, kind| {
        let mut event = ContainerEventResponse { container_event_type: kind, ..started(A, "app") };
        event.containers_statuses[1] = ContainerStatus { state, ..status(A, "app") }.encode_to_vec();
        event
    };
    let mut stopped = state(EXITED, 2);
    stopped.containers_statuses[1] = ended(A, "app").encode_to_vec();
    let events = [state(CREATED, 0), state(RUNNING, 1), stopped, state(RUNNING, 1)];
    let events = events.map(|event| event.encode_to_vec()).to_vec();
    let last = started(B, "last").encode_to_vec();
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Open([events.clone(), vec![last.clone()]].concat()),
        path => calm(path, Vec::new()),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || metadata.get(B).is_some());
    let status = known(&metadata, A);
    assert_eq!((status.state, status.restarts), (Some(ContainerState::Exited), Some(2)));
    assert_eq!((status.last_exit, status.oom_at), (Some(killed()), time_of(FINISHED_NS)));
    assert_eq!(status.created_at, time_of(CREATED_NS));
    assert_eq!(peer.calls("ContainerStatus"), 0);
}

/// As with containerd 1.6.
#[test]
fn without_events_the_exit_is_queried_when_the_cgroup_is_gone() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Refusal(UNIMPLEMENTED),
        CONTAINER_STATUS => {
            // The queries: at the start; then before the runtime has noticed the exit; then after.
            let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let status = if asked < 2 { status(A, "app") } else { ended(A, "app") };
            Answer::one(&ContainerStatusResponse { status: Some(status) })
        }
        path => calm(path, vec![container(A, "app")]),
    });
    let metadata = MetadataStore::new();
    let mut gone = false;
    watch_peer(&peer, &metadata, || {
        if !gone && metadata.get(A).is_some_and(|names| names.started_at.is_some()) {
            assert_eq!(known(&metadata, A).state, Some(ContainerState::Running));
            gone = true;
            for _ in 0..20 {
                metadata.cgroup_removed(A);
            }
            // The exit of a sandbox cannot be queried, and this runtime does not have the other container.
            metadata.cgroup_removed(P);
            metadata.cgroup_removed(B);
        }
        known(&metadata, A).state == Some(ContainerState::Exited)
    });
    let status = known(&metadata, A);
    assert_eq!((status.last_exit, status.oom_at), (Some(killed()), time_of(FINISHED_NS)));
    assert_eq!((peer.calls("ContainerStatus"), peer.calls("ListContainers")), (3, 1));
}

#[test]
fn a_container_that_exited_before_the_agent_started_is_not_queried() {
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Refusal(UNIMPLEMENTED),
        // `NotFound`.
        CONTAINER_STATUS => Answer::Refusal(5),
        path => calm(path, vec![Container { state: EXITED, ..container(A, "old") }]),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || peer.calls("Version") > 5);
    assert_eq!(known(&metadata, A).state, Some(ContainerState::Exited));
    assert_eq!(peer.calls("ContainerStatus"), 0, "it exited before the first listing");
}

#[test]
fn a_container_that_was_listed_before_it_ran_is_queried_until_it_does() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let peer = Peer::new(move |path, _| match path {
        GET_CONTAINER_EVENTS => Answer::Refusal(UNIMPLEMENTED),
        CONTAINER_STATUS => {
            let created = ContainerStatus { state: CREATED, started_at: 0, ..status(A, "app") };
            let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Answer::one(&ContainerStatusResponse {
                status: Some(if asked == 0 { created } else { status(A, "app") }),
            })
        }
        path => calm(path, vec![Container { state: CREATED, ..container(A, "app") }]),
    });
    let metadata = MetadataStore::new();
    let mut was_created = false;
    watch_peer(&peer, &metadata, || {
        was_created |= known(&metadata, A).state == Some(ContainerState::Created);
        known(&metadata, A).state == Some(ContainerState::Running)
    });
    assert!(was_created);
    assert_eq!(metadata.get(A).unwrap().started_at, time_of(STARTED_NS));
    assert_eq!(peer.calls("ContainerStatus"), 2);
}
