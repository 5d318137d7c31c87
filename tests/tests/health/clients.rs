//! Clients that are slow, and servers that wait for them: such a server is not stuck.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::container::{Server, agent};

/// Longer than the time after which a server is stuck (10 s) and two ticks.
const PAUSE: Duration = Duration::from_millis(12_500);
/// Time in which the server that is stuck is found.
const CLASSIFIED: Duration = Duration::from_secs(15);
const UPLOAD_BYTES: usize = 100_000;
/// The status line.
const OK: &[u8] = b"HTTP/1.1 200 OK";

fn read_status(stream: &mut TcpStream) {
    let mut status = [0; OK.len()];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(status, OK, "{}", String::from_utf8_lossy(&status));
}

#[test]
fn a_server_that_waits_for_its_client_is_never_stuck() {
    let Some(agent) = agent("a_server_that_waits_for_its_client_is_never_stuck") else { return };
    let [head, upload, download, locked] = [(); 4].map(|()| Server::start(&agent, None));
    let mut half_a_head = head.send("GET / HTTP/1.1\r\n");
    let mut half_a_body = upload
        .send(&format!("POST /upload/{UPLOAD_BYTES} HTTP/1.1\r\ncontent-length: {UPLOAD_BYTES}\r\n\r\n"));
    half_a_body.write_all(&[b'x'; UPLOAD_BYTES / 2]).unwrap();
    // The server does not come to the second request before the first response is read.
    let mut half_a_response =
        download.send("GET /download HTTP/1.1\r\nhost: x\r\n\r\nGET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    read_status(&mut half_a_response);
    // A complete request and half of another one: the server has to answer the first.
    let mut pipelined = locked.send("GET /lock HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n");
    let waiting = [("half a head", &head), ("upload", &upload), ("download", &download)];
    let state = |server: &Server| server.state(&agent).unwrap().0;
    let begun = Instant::now();
    // Until the requests are in a snapshot.
    thread::sleep(Duration::from_secs(2));
    while begun.elapsed() < PAUSE || state(&locked) != "stuck" {
        assert!(begun.elapsed() < CLASSIFIED, "the locked server is {}", state(&locked));
        for (what, server) in waiting {
            assert_eq!((state(server).as_str(), server.probe(&agent).0), ("working", 200), "{what}");
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(locked.probe(&agent).0, 503);
    half_a_head.write_all(b"host: x\r\n\r\n").unwrap();
    half_a_body.write_all(&[b'x'; UPLOAD_BYTES / 2]).unwrap();
    locked.request("/release").join().unwrap();
    [&mut half_a_head, &mut half_a_body, &mut pipelined].into_iter().for_each(read_status);
    half_a_response.read_to_end(&mut Vec::new()).unwrap();
    let ended = Instant::now();
    for (what, server) in waiting {
        while state(server) != "idle" {
            assert!(ended.elapsed() < Duration::from_secs(5), "{what} is {}", state(server));
            thread::sleep(Duration::from_millis(100));
        }
    }
}
