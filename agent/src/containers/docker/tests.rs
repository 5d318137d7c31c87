//! The watcher against fake daemons of all kinds on a Unix socket.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use std::time::SystemTime;

use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    containers::{lifecycle::Exit, metadata::MetadataStore, watcher::Timeouts},
    snapshot::{identity::Runtime, lifecycle::Health},
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const SHORT_TIMEOUTS: Timeouts = Timeouts {
    answer: Duration::from_millis(800),
    idle: Duration::from_millis(200),
    backoff_min: Duration::from_millis(5),
    backoff_max: Duration::from_millis(40),
    unsupported_retry: Duration::from_millis(40),
};

/// How a daemon responds to one request.
type Answer = dyn Fn(&str, &mut UnixStream) + Send + Sync;

/// A fake daemon that responds to the one request of each connection in a separate thread.
struct Daemon {
    directory: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn absent() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), requests: Arc::default() }
    }

    fn new(answer: impl Fn(&str, &mut UnixStream) + Send + Sync + 'static) -> Self {
        let daemon = Self::absent();
        daemon.listen(answer);
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    fn listen(&self, answer: impl Fn(&str, &mut UnixStream) + Send + Sync + 'static) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (requests, answer): (_, Arc<Answer>) = (Arc::clone(&self.requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let request = head(&mut stream);
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    requests.lock().unwrap().push(path.clone());
                    answer(path.split('?').next().unwrap_or_default(), &mut stream);
                });
            }
        });
    }

    fn requests(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(path)).count()
    }
}

fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn json(stream: &mut UnixStream, text: &str) {
    let length = text.len();
    let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
}

fn begin_events(stream: &mut UnixStream) {
    let _ = write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
}

fn event(stream: &mut UnixStream, action: &str, id: &str, attributes: &str) {
    let text = format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{{attributes}}}}},"timeNano":1795365362239103573}}"#
    );
    let _ = write!(stream, "{:x}\r\n{text}\n\r\n", text.len() + 1);
}

/// Blocks until the watcher closes the connection.
fn hold(stream: &mut UnixStream) {
    let _ = stream.read(&mut [0]);
}

const NO_CONTAINERS: &str = "[]";

/// Runs the watcher until `done` or for ten seconds.
fn watch_until(daemon: &Daemon, metadata: &MetadataStore, done: impl FnMut() -> bool) {
    watch_source_until(Runtime::Docker.into(), daemon, metadata, done);
}

fn watch_source_until(
    source: Source,
    daemon: &Daemon,
    metadata: &MetadataStore,
    mut done: impl FnMut() -> bool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let labels = vec!["kept".to_owned()];
        let watcher = RuntimeWatcher::<DockerApi>::new(source, daemon.socket(), labels, metadata.clone());
        tokio::spawn(watcher.at(SHORT_TIMEOUTS).watch());
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(10), "not done: {:?}", metadata.runtimes());
            sleep(Duration::from_millis(2)).await;
        }
    });
}

fn reason(metadata: &MetadataStore) -> Option<String> {
    match metadata.runtimes().as_slice() {
        [(Runtime::Docker, Err(reason))] if metadata.first_listing_done() => Some(reason.clone()),
        _ => None,
    }
}

fn connected(metadata: &MetadataStore) -> bool {
    metadata.runtimes() == [(Runtime::Docker, Ok(()))]
}

/// Waits for the watcher to report why it is not connected.
fn failure(daemon: &Daemon) -> String {
    let metadata = MetadataStore::new();
    watch_until(daemon, &metadata, || reason(&metadata).is_some());
    reason(&metadata).unwrap()
}

#[test]
fn running_containers_are_listed_and_inspected_once() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            hold(stream);
        }
        "/containers/json" => json(
            stream,
            &format!(
                r#"[{{"Id":"{A}","Names":["/link/alias","/web"],"Image":"sha256:00","State":"running",
                     "Labels":{{"kept":"1","dropped":"2","com.docker.compose.service":"web"}}}},
                    {{"Id":"{B}","Names":["/old"],"Image":"old:1","State":"exited","Labels":{{}}}}]"#
            ),
        ),
        "/_ping" => json(stream, "OK"),
        path => {
            assert_eq!(path, format!("/containers/{A}/json"));
            let text = r#""State":{"StartedAt":"2026-11-22T16:36:02.5Z"},"Config":{"Image":"web:1"}"#;
            json(stream, &format!(r#"{{"Id":"{A}",{text}}}"#));
        }
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || {
        metadata.get(A).is_some_and(|names| names.started_at.is_some()) && daemon.requests("/_ping") > 2
    });
    let names = metadata.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("web", "web:1"));
    assert_eq!(names.labels.into_iter().collect::<Vec<_>>(), [("kept".to_owned(), "1".to_owned())]);
    assert_eq!(names.compose_service.as_deref(), Some("web"));
    assert_eq!(names.started_at, Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_365_362_500)));
    assert_eq!(metadata.get(B).unwrap().name, "old");
    assert!(connected(&metadata));
    assert_eq!((daemon.requests("/events"), daemon.requests("/containers/")), (1, 2));
}

#[test]
fn a_container_that_lives_between_two_events_is_named_without_a_request() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            let attributes = r#""name":"brief","image":"busybox:1","kept":"1","io.kubernetes.pod.name":"p""#;
            event(stream, "create", A, attributes);
            event(stream, "start", A, attributes);
            event(stream, "die", A, attributes);
            event(stream, "destroy", A, attributes);
            hold(stream);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || metadata.get(A).is_some_and(|names| names.started_at.is_some()));
    let names = metadata.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("brief", "busybox:1"));
    assert_eq!(names.pod.as_deref(), Some("p"));
    assert_eq!(names.labels.len(), 1);
    assert_eq!(names.started_at, time_of(1_795_365_362_239_103_573));
    assert_eq!((daemon.requests("/containers/json"), daemon.requests("/containers/")), (1, 1));
}

/// The labels `name` and `image` of a container that `events` report and that is then inspected. `listed` is true if
/// the first listing contains the container.
fn labels_of_runtime_names(listed: bool, events: &'static [&'static str]) -> Vec<(String, String)> {
    const LABELS: &str = r#""name":"MinIO","image":"of the vendor","kept":"1""#;
    let daemon = Daemon::new(move |path, stream| match path {
        "/events" => {
            begin_events(stream);
            for action in events {
                // Docker's events have the container's name and image under the keys of these labels.
                event(stream, action, A, r#""name":"store","image":"minio:1","kept":"1","oldName":"old""#);
                // Long enough for the inspection.
                thread::sleep(Duration::from_millis(600));
            }
            hold(stream);
        }
        "/containers/json" if listed => json(
            stream,
            &format!(
                r#"[{{"Id":"{A}","Names":["/store"],"Image":"minio:1","State":"running","Labels":{{{LABELS}}}}}]"#
            ),
        ),
        "/containers/json" => json(stream, NO_CONTAINERS),
        "/_ping" => json(stream, "OK"),
        _ => json(stream, &format!(r#"{{"Id":"{A}","Config":{{"Image":"minio:1","Labels":{{{LABELS}}}}}}}"#)),
    });
    let metadata = MetadataStore::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let source = Source::socket(Runtime::Docker, 1);
        let labels = vec!["name".to_owned(), "image".to_owned(), "oldName".to_owned()];
        let watcher = RuntimeWatcher::<DockerApi>::new(source, daemon.socket(), labels, metadata.clone());
        tokio::spawn(watcher.at(SHORT_TIMEOUTS).watch());
        sleep(Duration::from_millis(700 + 650 * events.len() as u64)).await;
    });
    let names = metadata.get(A).unwrap();
    assert_eq!((names.name.as_str(), names.image.as_str()), ("store", "minio:1"));
    names.labels.into_iter().collect()
}

#[test]
fn labels_named_name_and_image_are_kept_regardless_of_the_first_report() {
    let both = [("image", "of the vendor"), ("name", "MinIO")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    for (listed, events) in [
        (true, &[][..]),
        (true, &["start"][..]),
        (true, &["rename"][..]),
        (false, &["create", "start"][..]),
        (false, &["start", "rename"][..]),
    ] {
        assert_eq!(labels_of_runtime_names(listed, events), both, "listed {listed}, then {events:?}");
    }
}

#[test]
fn podmans_containers_are_reported_as_podmans_and_its_remove_event_is_understood() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            let attributes =
                r#""name":"pod","image":"localhost/busybox:1","podId":"","containerExitCode":"0","kept":"1""#;
            event(stream, "create", A, attributes);
            event(stream, "create", B, attributes);
            event(stream, "remove", A, attributes);
            hold(stream);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    // A container of Docker with the same ID, which Docker reports.
    metadata.put(B, Metadata::new(Runtime::Docker, "dockers", "", [], &[]));
    let source = Source::socket(Runtime::Podman, 1);
    let removed = || {
        let before = metadata.get(A).is_some();
        // Any source can replace an entry that was removed.
        metadata.put(A, Metadata::new(Source::socket(Runtime::Podman, 7), "other", "", [], &[]));
        before && metadata.get(A).is_some_and(|names| names.name == "other")
    };
    watch_source_until(source, &daemon, &metadata, || metadata.get(A).is_some() && removed());
    assert_eq!(metadata.get(B).unwrap().name, "dockers");
    assert_eq!(metadata.runtimes(), [(Runtime::Podman, Ok(()))]);
}

#[test]
fn a_rename_keeps_the_start_time() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            event(stream, "start", A, r#""name":"before","image":"i""#);
            event(stream, "rename", A, r#""name":"after","image":"i","oldName":"/before""#);
            hold(stream);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || metadata.get(A).is_some_and(|names| names.name == "after"));
    assert!(metadata.get(A).unwrap().started_at.is_some());
}

#[test]
fn the_agent_subscribes_to_events_before_the_listing() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            thread::sleep(Duration::from_millis(100));
            begin_events(stream);
            hold(stream);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || connected(&metadata));
    let requests = daemon.requests.lock().unwrap();
    assert!(
        requests[0].starts_with("/events") && requests[1].starts_with("/containers/json"),
        "{requests:?}"
    );
}

#[test]
fn a_missing_socket_is_reported_and_used_once_it_exists() {
    let daemon = Daemon::absent();
    let reason = failure(&daemon);
    assert!(reason.starts_with("subscribe to docker events: No such file"), "{reason}");
    let metadata = MetadataStore::new();
    let mut listening = false;
    watch_until(&daemon, &metadata, || {
        if !listening && metadata.first_listing_done() {
            listening = true;
            daemon.listen(|path, stream| match path {
                "/events" => {
                    begin_events(stream);
                    hold(stream);
                }
                _ => json(stream, NO_CONTAINERS),
            });
        }
        connected(&metadata)
    });
}

#[test]
fn a_hanging_socket_times_out_and_is_closed() {
    let closed = Arc::new(AtomicUsize::new(0));
    let daemon = Daemon::new({
        let closed = Arc::clone(&closed);
        move |_, stream| {
            hold(stream);
            closed.fetch_add(1, Ordering::Relaxed);
        }
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || closed.load(Ordering::Relaxed) >= 2);
    let reason = reason(&metadata).unwrap();
    assert!(reason.starts_with("subscribe to docker events: no response from "), "{reason}");
}

#[test]
fn a_hanging_listing_times_out() {
    let daemon = Daemon::new(|path, stream| {
        if path == "/events" {
            begin_events(stream);
        }
        hold(stream);
    });
    let reason = failure(&daemon);
    assert!(reason.starts_with("list docker containers: no response from "), "{reason}");
}

#[test]
fn a_silent_stream_of_a_hanging_daemon_times_out() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            hold(stream);
        }
        "/containers/json" => json(stream, NO_CONTAINERS),
        _ => hold(stream),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || reason(&metadata).is_some());
    let reason = reason(&metadata).unwrap();
    assert!(reason.starts_with("ping docker: no response from "), "{reason}");
}

#[test]
fn an_invalid_response_is_an_error_and_is_retried() {
    let answers: [&[u8]; 6] = [
        b"",
        b"\x16\x03\x01\xff\xff",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{\"a\"}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nno!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ];
    for answer in answers {
        let daemon = Daemon::new(move |_, stream| drop(stream.write_all(answer)));
        let metadata = MetadataStore::new();
        watch_until(&daemon, &metadata, || daemon.requests("/events") >= 3);
        assert!(reason(&metadata).is_some(), "{:?}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn after_a_closed_stream_the_watcher_lists_again_and_reconnects() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            event(stream, "create", A, r#""name":"web","image":"i""#);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || daemon.requests("/containers/json") >= 4);
    assert_eq!(metadata.get(A).unwrap().name, "web");
    assert!(daemon.requests("/events") >= 4);
}

#[test]
fn an_endless_response_is_cut_off() {
    let sent = Arc::new(AtomicUsize::new(0));
    let endless = {
        let sent = Arc::clone(&sent);
        move |stream: &mut UnixStream| {
            begin_events(stream);
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
            let _ = write!(stream, "1\r\n\"\r\n");
            while stream.write_all(chunk.as_bytes()).is_ok() {
                sent.fetch_add(65_536, Ordering::Relaxed);
            }
        }
    };
    let daemon = Daemon::new({
        let endless = endless.clone();
        move |path, stream| match path {
            "/events" => endless(stream),
            _ => json(stream, NO_CONTAINERS),
        }
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || reason(&metadata).is_some());
    let cut_off = reason(&metadata).unwrap();
    assert!(cut_off.starts_with("follow docker events: "), "{cut_off}");
    let most = sent.load(Ordering::Relaxed);
    assert!((1 << 19..8 << 20).contains(&most), "{most}");
    let daemon = Daemon::new(move |path, stream| {
        if path == "/events" {
            begin_events(stream);
            return hold(stream);
        }
        endless(stream);
    });
    let reason = failure(&daemon);
    assert!(reason.starts_with("list docker containers: ") && reason.contains("33554432 bytes"), "{reason}");
}

#[test]
fn many_events_are_not_an_endless_response() {
    let last = format!("{:064x}", 2999);
    let daemon = Daemon::new(move |path, stream| match path {
        "/events" => {
            begin_events(stream);
            for number in 0..3000 {
                let attributes = format!(r#""name":"n{number}","image":"i","kept":"{}""#, "x".repeat(900));
                event(stream, "create", &format!("{number:064x}"), &attributes);
            }
            hold(stream);
        }
        _ => json(stream, NO_CONTAINERS),
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || metadata.get(&last).is_some());
    assert_eq!(daemon.requests("/events"), 1);
}

#[test]
fn aliases_of_linked_containers_are_not_the_containers_own_name() {
    let own = |names: &[&str]| {
        own_name(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).to_owned()
    };
    assert_eq!(own(&["/a/b", "/c"]), "/c");
    assert_eq!(own(&["/a/b"]), "/a/b");
    assert_eq!(own(&[]), "");
}

#[test]
fn the_status_comes_from_events_and_one_inspection_after_the_last_of_them() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            let attributes = r#""name":"web","image":"i""#;
            event(stream, "create", A, attributes);
            event(stream, "start", A, attributes);
            event(stream, "oom", A, attributes);
            event(stream, "die", A, r#""name":"web","image":"i","exitCode":"137""#);
            event(stream, "start", A, attributes);
            event(stream, "health_status: healthy", A, attributes);
            event(stream, "health_status: nonsense", A, attributes);
            event(stream, "pause", A, attributes);
            hold(stream);
        }
        "/containers/json" => json(stream, NO_CONTAINERS),
        "/_ping" => json(stream, "OK"),
        path => {
            assert_eq!(path, format!("/containers/{A}/json"));
            let state = r#""State":{"Status":"paused","StartedAt":"2026-11-22T16:36:02.5Z","Health":{"Status":"starting"}}"#;
            json(
                stream,
                &format!(r#"{{"Id":"{A}","Created":"2026-11-22T16:36:01Z","RestartCount":7,{state}}}"#),
            );
        }
    });
    let metadata = MetadataStore::new();
    let status = || metadata.status(A).unwrap_or_default();
    watch_until(&daemon, &metadata, || status().health == Some(Health::Starting));
    let at = time_of(1_795_365_362_239_103_573).unwrap();
    assert_eq!(status().state, Some(ContainerState::Paused));
    assert_eq!(status().last_exit, Some(Exit { at, code: Some(137) }));
    assert_eq!((status().restarts, status().oom_at), (Some(1), Some(at)));
    assert_eq!(status().created_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_365_361)));
    assert_eq!(daemon.requests(&format!("/containers/{A}")), 1);
}

#[test]
fn a_response_from_before_an_event_does_not_revert_it() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            // The container of the listing is being inspected.
            thread::sleep(Duration::from_millis(100));
            event(stream, "die", A, r#""name":"web","image":"i","exitCode":"3""#);
            hold(stream);
        }
        "/containers/json" => {
            json(stream, &format!(r#"[{{"Id":"{A}","Names":["/web"],"State":"running"}}]"#));
        }
        _ => {
            thread::sleep(Duration::from_millis(200));
            let state = r#""State":{"Status":"running","StartedAt":"2026-11-22T16:36:02.5Z"}"#;
            json(stream, &format!(r#"{{"Id":"{A}","RestartCount":4,{state}}}"#));
        }
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || metadata.status(A).is_some_and(|status| status.restarts == Some(4)));
    let status = metadata.status(A).unwrap();
    assert_eq!((status.state, status.health), (Some(ContainerState::Exited), None));
    assert_eq!(status.last_exit.unwrap().code, Some(3));
}

#[test]
fn invalid_values_in_events_and_responses_are_ignored() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            event(stream, "die", B, r#""exitCode":"1""#);
            event(stream, "create", A, r#""name":"web","image":"i""#);
            event(stream, "die", A, r#""exitCode":"-9 and more""#);
            hold(stream);
        }
        "/containers/json" => json(stream, NO_CONTAINERS),
        _ => {
            let state = r#""State":{"Status":"exited","ExitCode":-1,"FinishedAt":"yesterday"}"#;
            json(stream, &format!(r#"{{"Id":"{A}","Created":"","RestartCount":-3,{state}}}"#));
        }
    });
    let metadata = MetadataStore::new();
    watch_until(&daemon, &metadata, || metadata.status(A).is_some_and(|status| status.health.is_some()));
    let status = metadata.status(A).unwrap();
    assert_eq!((status.state, status.restarts), (Some(ContainerState::Exited), Some(0)));
    assert_eq!(status.last_exit.unwrap().code, None);
    assert_eq!(metadata.status(B), None);
}

#[test]
fn a_socket_cannot_change_a_container_that_another_socket_reports() {
    let daemon = Daemon::new(|path, stream| match path {
        "/events" => {
            begin_events(stream);
            for action in ["die", "oom", "pause", "destroy"] {
                event(stream, action, A, r#""name":"stolen","exitCode":"7""#);
            }
            event(stream, "create", B, r#""name":"own""#);
            hold(stream);
        }
        "/containers/json" => json(stream, NO_CONTAINERS),
        path => panic!("an unexpected request for {path}"),
    });
    let metadata = MetadataStore::new();
    let mut names = Metadata::new(Source::socket(Runtime::Docker, 1), "web", "web:1", [], &[]);
    names.status.started(false);
    metadata.put(A, names.clone());
    watch_until(&daemon, &metadata, || metadata.get(B).is_some());
    assert_eq!(metadata.get(A), Some(names));
    assert!(metadata.is_present(A));
}
