//! The watcher against a fake containerd on a Unix socket. [`cri`](crate::containers::cri)'s tests cover errors of HTTP
//! and gRPC.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    messages::{Any, Namespace, Process, RUNNING, STOPPED, TaskExit, Timestamp},
    *,
};
use crate::{
    containers::{
        grpc::test_server::{Answer, Peer, UNIMPLEMENTED, reason, watch_until},
        lifecycle::{Exit, ReportedStatus},
        metadata::MetadataStore,
    },
    snapshot::{identity::Runtime, lifecycle::ContainerState},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const AT: Timestamp = Timestamp { seconds: 1_795_365_362, nanos: 5 };
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn watch_peer(peer: &Peer, metadata: &MetadataStore, done: impl FnMut() -> bool) {
    let labels = vec!["kept".to_owned()];
    let source = Runtime::Containerd.into();
    let watcher = RuntimeWatcher::<ContainerdApi>::new(source, peer.socket(), labels, metadata.clone());
    watch_until(watcher, metadata, done);
}

fn namespaces(names: &[&str]) -> Answer {
    let namespaces = names.iter().map(|name| Namespace { name: (*name).to_owned() }).collect();
    Answer::one(&ListNamespacesResponse { items: namespaces })
}

fn container(id: &str, labels: &[(&str, &str)]) -> Vec<u8> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = format!(r#"{{"linux":{{"cgroupsPath":"/default/{id}"}}}}"#);
    let container = Container {
        id: id.into(),
        labels,
        image: "docker.io/library/web:1".into(),
        spec: Some(Any { value: spec.into_bytes() }),
        created_at: Some(AT),
    };
    ListContainerMessage { container: Some(container) }.encode_to_vec()
}

fn tasks(tasks: &[(&str, i32)]) -> Answer {
    let task =
        |&(id, status): &(&str, i32)| Process { id: id.into(), status, exit_status: 4, exited_at: Some(AT) };
    Answer::one(&ListTasksResponse { items: tasks.iter().map(task).collect() })
}

fn event(namespace: &str, topic: &str, id: &str) -> Vec<u8> {
    Envelope {
        timestamp: Some(AT),
        namespace: namespace.into(),
        topic: topic.into(),
        event: Some(Any { value: About { id: id.into() }.encode_to_vec() }),
    }
    .encode_to_vec()
}

#[test]
fn the_containers_of_all_namespaces_without_another_source_are_listed() {
    let peer = Peer::new(|path, namespace| match (path, namespace) {
        (LIST_NAMESPACES, _) => namespaces(&["default", "k8s.io", "moby", "team"]),
        (LIST_CONTAINERS, "default") => {
            Answer::Messages(vec![container(A, &[("nerdctl/name", "web"), ("kept", "1"), ("other", "2")])])
        }
        (LIST_CONTAINERS, "team") => Answer::Messages(vec![container("job", &[])]),
        (LIST_CONTAINERS, namespace) => panic!("a listing of {namespace}"),
        _ => Answer::Silence,
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || metadata.runtimes() == [(Runtime::Containerd, Ok(()))]);
    let names = metadata.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("web", "docker.io/library/web:1"));
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["kept"]);
    let job = metadata.get("team/job").unwrap();
    assert_eq!((job.name.as_str(), job.cgroup_path.as_deref()), ("job", Some("/default/job")));
    assert_eq!(names.cgroup_path, None, "its cgroup path contains its ID");
}

#[test]
fn a_container_is_requested_when_an_event_reports_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    let peer = Peer::new({
        let asked = Arc::clone(&asked);
        move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default"]),
            LIST_CONTAINERS => match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::Messages(Vec::new()),
                _ => Answer::Messages(vec![container(A, &[("nerdctl/name", "web")])]),
            },
            _ => Answer::Open(vec![
                event("default", "/containers/create", A),
                event("k8s.io", "/containers/create", B),
                event("default", "/containers/create", "x,labels.a==b"),
                event("default", "/tasks/start", A),
                event("default", "/containers/delete", B),
                vec![1, 2, 3][..0].to_vec(),
            ]),
        }
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || metadata.get(A).is_some_and(|names| names.started_at.is_some()));
    let names = metadata.get(A).unwrap();
    assert_eq!(names.name, "web");
    assert_eq!(names.started_at, time_of(AT));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_container_is_removed_by_an_event_or_if_a_new_listing_lacks_it() {
    let listings = Arc::new(AtomicUsize::new(0));
    let peer = Peer::new({
        let listings = Arc::clone(&listings);
        move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default"]),
            LIST_CONTAINERS => {
                let first = listings.fetch_add(1, Ordering::Relaxed) == 0;
                Answer::Messages(if first { vec![container(B, &[])] } else { Vec::new() })
            }
            // The stream ends after its first event, so the watcher lists everything again.
            _ => Answer::Messages(vec![event("default", "/tasks/start", "none")]),
        }
    });
    let metadata = MetadataStore::new();
    let other = Metadata::new(Runtime::Docker, "other", "", [], &[]);
    let mut known = false;
    watch_peer(&peer, &metadata, || {
        known |= metadata.get(B).is_some_and(|names| names.source == Runtime::Containerd.into());
        if known {
            // Another source can replace only entries that were removed.
            metadata.put(B, other.clone());
        }
        known && metadata.get(B).is_some_and(|names| names.name == "other")
    });
}

#[test]
fn a_peer_without_containerds_services_is_not_a_failure() {
    let peer = Peer::new(|_, _| Answer::Refusal(UNIMPLEMENTED));
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || peer.calls("Namespaces/List") >= 3);
    assert_eq!(metadata.runtimes(), []);
}

#[test]
fn a_hanging_or_endless_listing_times_out() {
    for endless in [false, true] {
        let peer = Peer::new(move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default"]),
            LIST_CONTAINERS if endless => Answer::Endless(container(A, &[])),
            _ => Answer::Silence,
        });
        let metadata = MetadataStore::new();
        let timed_out = |reason: String| reason.contains("list containers of \"default\": no response from ");
        watch_peer(&peer, &metadata, || reason(&metadata).is_some_and(timed_out));
    }
}

fn status(metadata: &MetadataStore, key: &str) -> ReportedStatus {
    metadata.status(key).unwrap_or_default()
}

#[test]
fn the_status_comes_from_tasks_at_the_start_and_then_from_events() {
    let exit = |id: &str, status: u32| {
        let exited_at = Some(Timestamp { seconds: AT.seconds + 9, nanos: 0 });
        let exit = TaskExit { container_id: A.into(), id: id.into(), exit_status: status, exited_at };
        let event = Some(Any { value: exit.encode_to_vec() });
        let (namespace, topic) = ("default".into(), "/tasks/exit".into());
        Envelope { timestamp: Some(AT), namespace, topic, event }.encode_to_vec()
    };
    let events = vec![
        exit("exec", 1),
        event("default", "/tasks/paused", A),
        event("default", "/tasks/resumed", A),
        event("default", "/tasks/oom", A),
        exit(A, 137),
        event("default", "/tasks/start", "job"),
        // Events of Kubernetes' containers and of unknown ones.
        event("k8s.io", "/tasks/start", "done"),
        event("default", "/tasks/start", "unknown"),
    ];
    let peer = Peer::new(move |path, namespace| match (path, namespace) {
        (LIST_NAMESPACES, _) => namespaces(&["default"]),
        (LIST_CONTAINERS, _) => Answer::Messages(vec![
            container(A, &[("containerd.io/restart.count", "5")]),
            container("job", &[]),
            container("done", &[]),
        ]),
        (LIST_TASKS, "default") => tasks(&[(A, RUNNING), ("done", STOPPED), ("unlisted", RUNNING)]),
        _ => Answer::Open(events.clone()),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || {
        status(&metadata, A).last_exit.is_some() && status(&metadata, "default/job").state.is_some()
    });
    let a = status(&metadata, A);
    assert_eq!((a.state, a.restarts, a.created_at), (Some(ContainerState::Exited), Some(5), time_of(AT)));
    assert_eq!((a.last_exit.unwrap().code, a.oom_at), (Some(137), time_of(AT)));
    let done = status(&metadata, "default/done");
    assert_eq!(done.state, Some(ContainerState::Exited));
    assert_eq!(done.last_exit, Some(Exit { at: time_of(AT).unwrap(), code: Some(4) }));
    assert_eq!(status(&metadata, "default/job").state, Some(ContainerState::Running));
    assert_eq!((metadata.status("default/unlisted"), metadata.status("unlisted")), (None, None));
}

#[test]
fn a_container_that_is_created_and_restarted_counts_its_restarts() {
    let (exited, start) =
        (TaskExit { container_id: "web".into(), id: "web".into(), ..TaskExit::default() }, "web");
    let exited = Envelope {
        timestamp: Some(AT),
        namespace: "team".into(),
        topic: "/tasks/exit".into(),
        event: Some(Any { value: exited.encode_to_vec() }),
    };
    let events = vec![
        event("team", "/containers/create", "web"),
        event("team", "/tasks/start", start),
        exited.encode_to_vec(),
        event("team", "/tasks/start", start),
    ];
    let asked = AtomicUsize::new(0);
    let peer = Peer::new(move |path, _| match path {
        LIST_NAMESPACES => namespaces(&["team"]),
        LIST_CONTAINERS => match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Messages(Vec::new()),
            _ => Answer::Messages(vec![container("web", &[])]),
        },
        _ => Answer::Open(events.clone()),
    });
    let metadata = MetadataStore::new();
    watch_peer(&peer, &metadata, || status(&metadata, "team/web").restarts == Some(1));
    let status = status(&metadata, "team/web");
    assert_eq!((status.state, status.last_exit.unwrap().code), (Some(ContainerState::Running), Some(0)));
    assert_eq!(metadata.reported_cgroups().keys().collect::<Vec<_>>(), ["/default/web"]);
}

#[test]
fn containers_get_their_names_even_if_tasks_cannot_be_listed() {
    for hangs in [false, true] {
        let peer = Peer::new(move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default", "team"]),
            LIST_CONTAINERS => Answer::Messages(vec![container(A, &[])]),
            LIST_TASKS if hangs => Answer::Silence,
            LIST_TASKS => Answer::Garbage(vec![0, 0, 0, 0, 1, 15]),
            _ => Answer::Silence,
        });
        let metadata = MetadataStore::new();
        watch_peer(&peer, &metadata, || metadata.runtimes() == [(Runtime::Containerd, Ok(()))]);
        assert_eq!((metadata.get(A).unwrap().name.as_str(), status(&metadata, A).state), (A, None));
        assert_eq!(peer.calls("Tasks/List"), 1, "there is no second request");
    }
}
