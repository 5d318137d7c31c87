//! Jobs of a Gradio server that count for the health of its container.

use std::net::{TcpListener, TcpStream};

use glassbox::{
    snapshot::jobs::{InFlight, JobCounters, Jobs},
    tick::Snapshots,
};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets::ContainerSockets,
};

use super::{
    super::{
        probe::ALONE,
        sockets::listener,
        starts::{lost, row, tick_until},
    },
    Server, Wire, config, ended, reject_packets, reset_on_close,
};

const ID: &str = "00000000000000000000000000000001";
const NEXT_ID: &str = "00000000000000000000000000000002";
/// More messages than the ring buffer holds between two ticks.
const MANY: usize = 5_000;

/// The jobs of a container as of the last tick.
fn jobs_of(snapshots: &Snapshots, id: &str) -> Jobs {
    *row(snapshots, id).unwrap().jobs.expect("a job")
}

/// Jobs that are awaited, and those in flight.
fn jobs(server: &mut Server) -> (u64, u64) {
    server.setup.engine.tick();
    let jobs = jobs_of(&server.setup.snapshots, &server.setup.id);
    (jobs.awaited, jobs.in_flight.total())
}

fn open(listener: &TcpListener) -> Wire {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Wire::of(client, listener.accept().unwrap().0)
}

fn join(listener: &TcpListener, id: &str) {
    let mut wire = open(listener);
    let body = r#"{"data":[],"fn_index":3,"session_hash":"s"}"#;
    let head = format!("POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    wire.client(head + body);
    let body = format!(r#"{{"event_id":"{id}"}}"#);
    wire.server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}

fn listen(listener: &TcpListener) -> Wire {
    let mut stream = open(listener);
    stream.client("GET /gradio_api/queue/data?session_hash=s HTTP/1.1\r\n\r\n");
    stream.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream
}

/// A message about a job, in a chunk of its own.
fn message(name: &str, id: &str) -> String {
    let result = if name == "process_completed" { r#","success":true"# } else { "" };
    let text = format!("data: {{\"msg\":\"{name}\",\"event_id\":\"{id}\"{result}}}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn a_job_is_awaited_while_its_stream_is_open_and_no_piece_was_lost() {
    let _alone = ALONE.lock();
    // An agent of its own: for ten minutes after a loss, no job is awaited.
    let mut server = Server::with(config());
    join(&server.listener, ID);
    assert_eq!(jobs(&mut server), (0, 1), "queued");
    let mut stream = listen(&server.listener);
    stream.server(message("process_starts", ID));
    assert_eq!(jobs(&mut server), (1, 1));
    reset_on_close(&stream.client);
    drop(stream.client);
    ended(&mut stream.server);
    assert_eq!(jobs(&mut server).0, 0, "the client has left");
    let mut stream = listen(&server.listener);
    assert_eq!(jobs(&mut server), (1, 1), "the client is back");
    reject_packets(&stream.client);
    std::io::Write::write_all(&mut stream.server, b"a\r\n: ignored\n\r\n").unwrap();
    let (snapshots, id) = (server.setup.snapshots.clone(), server.setup.id.clone());
    tick_until("send it again", &mut server.setup.engine, || {
        row(&snapshots, &id).unwrap().jobs.is_some_and(|jobs| jobs.awaited == 0)
    });
    let mut stream = listen(&server.listener);
    assert_eq!(jobs(&mut server), (1, 1), "the client is back");
    (0..MANY).for_each(|_| _ = stream.server(message("progress", ID)));
    assert_eq!(jobs(&mut server), (0, 1));
    assert!(lost(&server.setup.snapshots, "request_pieces") > 0);
    assert_eq!(jobs(&mut server), (0, 1), "the loss is remembered");
}

/// Messages in one write, so that a container exceeds its share also on a slow host.
const AT_ONCE: usize = 8;
/// Writes between two ticks: the ring buffer has room for all of their messages.
const WRITES: usize = 250;
const TICKS: usize = 12;

#[test]
fn a_container_that_exceeds_its_share_of_messages_loses_only_its_own() {
    let _alone = ALONE.lock();
    let mut server = Server::with(config());
    let (cgroup, flooding) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&cgroup);
    let snapshots = server.setup.snapshots.clone();
    tick_until("find the other container", &mut server.setup.engine, || {
        row(&snapshots, &flooding).is_some_and(|row| row.sockets.is_some())
    });
    let flooding_listener = listener(&sockets, false, 16);
    let [mut flood, mut stream] = [&flooding_listener, &server.listener].map(|listener| {
        join(listener, ID);
        let mut stream = listen(listener);
        stream.server(message("process_starts", ID));
        stream
    });
    assert_eq!(jobs(&mut server), (1, 1));
    assert_eq!(jobs_of(&snapshots, &flooding).awaited, 1);
    let progress = message("progress", ID).repeat(AT_ONCE);
    for tick in 0..TICKS {
        (0..WRITES).for_each(|_| _ = flood.server(&progress));
        if tick == TICKS / 2 {
            assert!(lost(&snapshots, "request_pieces") > 0, "before the other job ends");
            stream.server(message("process_completed", ID));
        }
        server.setup.engine.tick();
    }
    let finished = jobs_of(&snapshots, &server.setup.id);
    let [function] = &finished.functions[..] else { panic!("{finished:?}") };
    let JobCounters { started, ended: outcomes, runs, .. } = &function.counters;
    assert_eq!((&*function.name, *started, *outcomes, runs.count()), ("3", 1, [1, 0, 0, 0], 1));
    assert_eq!((finished.in_flight, finished.ignored), (InFlight::default(), Default::default()));
    join(&server.listener, NEXT_ID);
    stream.server(message("process_starts", NEXT_ID));
    assert_eq!(jobs(&mut server), (1, 1), "nothing of this container was lost");
    let flooded = jobs_of(&snapshots, &flooding);
    assert_eq!((flooded.awaited, flooded.in_flight.total()), (0, 1), "the loss is remembered");
    println!("{} messages lost", lost(&snapshots, "request_pieces"));
}
