//! Jobs of a Gradio server that count for the health of its container.

use super::{
    super::{
        probe::ALONE,
        starts::{lost, row, tick_until},
    },
    Server, Wire, config, ended, reject_packets, reset_on_close,
};

const ID: &str = "00000000000000000000000000000001";
/// More messages than the ring buffer holds between two ticks.
const MANY: usize = 5_000;

/// Jobs that are awaited, and those in flight.
fn jobs(server: &mut Server) -> (u64, u64) {
    server.setup.engine.tick();
    let jobs = row(&server.setup.snapshots, &server.setup.id).unwrap().jobs.expect("a job");
    (jobs.awaited, jobs.in_flight.total())
}

fn join(server: &Server) {
    let mut wire = server.connect();
    let body = r#"{"data":[],"fn_index":3,"session_hash":"s"}"#;
    let head = format!("POST /gradio_api/queue/join HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    wire.client(head + body);
    let body = format!(r#"{{"event_id":"{ID}"}}"#);
    wire.server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}

fn listen(server: &Server) -> Wire {
    let mut stream = server.connect();
    stream.client("GET /gradio_api/queue/data?session_hash=s HTTP/1.1\r\n\r\n");
    stream.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream
}

fn report(stream: &mut Wire, message: &str) {
    let text = format!("data: {{\"msg\":\"{message}\",\"event_id\":\"{ID}\"}}\n\n");
    stream.server(format!("{:x}\r\n{text}\r\n", text.len()));
}

#[test]
fn a_job_is_awaited_while_its_stream_is_open_and_no_piece_was_lost() {
    let _alone = ALONE.lock();
    // An agent of its own: for ten minutes after a loss, no job is awaited.
    let mut server = Server::with(config());
    join(&server);
    assert_eq!(jobs(&mut server), (0, 1), "queued");
    let mut stream = listen(&server);
    report(&mut stream, "process_starts");
    assert_eq!(jobs(&mut server), (1, 1));
    reset_on_close(&stream.client);
    drop(stream.client);
    ended(&mut stream.server);
    assert_eq!(jobs(&mut server).0, 0, "the client has left");
    let mut stream = listen(&server);
    assert_eq!(jobs(&mut server), (1, 1), "the client is back");
    reject_packets(&stream.client);
    std::io::Write::write_all(&mut stream.server, b"a\r\n: ignored\n\r\n").unwrap();
    let (snapshots, id) = (server.setup.snapshots.clone(), server.setup.id.clone());
    tick_until("send it again", &mut server.setup.engine, || {
        row(&snapshots, &id).unwrap().jobs.is_some_and(|jobs| jobs.awaited == 0)
    });
    let mut stream = listen(&server);
    assert_eq!(jobs(&mut server), (1, 1), "the client is back");
    (0..MANY).for_each(|_| report(&mut stream, "progress"));
    assert_eq!(jobs(&mut server), (0, 1));
    assert!(lost(&server.setup.snapshots, "request_pieces") > 0);
    assert_eq!(jobs(&mut server), (0, 1), "the loss is remembered");
}
