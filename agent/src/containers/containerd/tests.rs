//! The watcher against a containerd that is made up on a unix socket. What HTTP and gRPC can do wrong is in
//! [`cri`](crate::containers::cri)'s tests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    messages::{Any, Namespace},
    *,
};
use crate::containers::{
    Runtime,
    directory::Directory,
    grpc::peer::{Answer, Peer, UNIMPLEMENTED, reason, watch_until},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn watch_peer(peer: &Peer, directory: &Directory, done: impl FnMut() -> bool) {
    let labels = vec!["kept".to_owned()];
    let source = Runtime::Containerd.into();
    let watcher = Watcher::<ContainerdApi>::new(source, peer.socket(), labels, directory.clone());
    watch_until(watcher, directory, done);
}

fn namespaces(names: &[&str]) -> Answer {
    let namespaces = names.iter().map(|name| Namespace { name: (*name).to_owned() }).collect();
    Answer::one(&ListNamespacesResponse { namespaces })
}

fn container(id: &str, labels: &[(&str, &str)]) -> Vec<u8> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let container = Container { id: id.into(), labels, image: "docker.io/library/web:1".into() };
    ListContainerMessage { container: Some(container) }.encode_to_vec()
}

fn event(namespace: &str, topic: &str, id: &str) -> Vec<u8> {
    Envelope {
        timestamp: Some(Timestamp { seconds: 1_795_365_362, nanos: 5 }),
        namespace: namespace.into(),
        topic: topic.into(),
        event: Some(Any { value: About { id: id.into() }.encode_to_vec() }),
    }
    .encode_to_vec()
}

#[test]
fn the_containers_of_all_namespaces_but_others_are_listed() {
    let peer = Peer::new(|path, namespace| match (path, namespace) {
        (LIST_NAMESPACES, _) => namespaces(&["default", "k8s.io", "moby", "team"]),
        (LIST_CONTAINERS, "default") => {
            Answer::Messages(vec![container(A, &[("nerdctl/name", "web"), ("kept", "1"), ("other", "2")])])
        }
        (LIST_CONTAINERS, "team") => Answer::Messages(vec![container("job", &[])]),
        (LIST_CONTAINERS, namespace) => panic!("a listing of {namespace}"),
        _ => Answer::Silence,
    });
    let directory = Directory::new();
    watch_peer(&peer, &directory, || directory.runtimes() == [(Runtime::Containerd, Ok(()))]);
    let names = directory.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("web", "docker.io/library/web:1"));
    assert_eq!(names.labels.into_keys().collect::<Vec<_>>(), ["kept"]);
    assert_eq!(directory.get("job").unwrap().name, "job");
}

#[test]
fn a_container_is_asked_for_when_an_event_tells_of_it() {
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
    let directory = Directory::new();
    watch_peer(&peer, &directory, || directory.get(A).is_some_and(|names| names.started_at.is_some()));
    let names = directory.get(A).unwrap();
    assert_eq!(names.name, "web");
    assert_eq!(names.started_at, time_of(Timestamp { seconds: 1_795_365_362, nanos: 5 }));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_removed_container_is_forgotten_and_one_that_a_new_listing_lacks() {
    let listings = Arc::new(AtomicUsize::new(0));
    let peer = Peer::new({
        let listings = Arc::clone(&listings);
        move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default"]),
            LIST_CONTAINERS => {
                let first = listings.fetch_add(1, Ordering::Relaxed) == 0;
                Answer::Messages(if first { vec![container(B, &[])] } else { Vec::new() })
            }
            // The stream ends after its first event, so all is asked anew.
            _ => Answer::Messages(vec![event("default", "/tasks/start", "none")]),
        }
    });
    let directory = Directory::new();
    let other = Names::new(Runtime::Docker, "other", "", [], &[]);
    let mut known = false;
    watch_peer(&peer, &directory, || {
        known |= directory.get(B).is_some_and(|names| names.source == Runtime::Containerd.into());
        if known {
            // Only what was removed can be replaced.
            directory.put(B, other.clone());
        }
        known && directory.get(B).is_some_and(|names| names.name == "other")
    });
}

#[test]
fn what_is_no_containerd_is_no_failure() {
    let peer = Peer::new(|_, _| Answer::Refusal(UNIMPLEMENTED));
    let directory = Directory::new();
    watch_peer(&peer, &directory, || peer.calls("Namespaces/List") >= 3);
    assert_eq!(directory.runtimes(), []);
}

#[test]
fn a_listing_that_hangs_or_does_not_end_is_given_up_in_time() {
    for endless in [false, true] {
        let peer = Peer::new(move |path, _| match path {
            LIST_NAMESPACES => namespaces(&["default"]),
            LIST_CONTAINERS if endless => Answer::Endless(container(A, &[])),
            _ => Answer::Silence,
        });
        let directory = Directory::new();
        let told = |reason: String| reason.contains("list containers of \"default\": no answer from ");
        watch_peer(&peer, &directory, || reason(&directory).is_some_and(told));
    }
}
