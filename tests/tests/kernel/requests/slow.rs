//! Requests that take longer than the limit of the log.

use std::{thread, time::Duration};

use glassbox::snapshot::requests::{End, SlowRequest};

use super::{
    super::{probe::ALONE, starts::lost},
    GET, OK, Server, ended,
};

/// Longer than [`SLOW`](super::SLOW).
const LONG: Duration = Duration::from_millis(300);
const QUEUE: &str = "POST /queue/join HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

fn slow(server: &mut Server) -> Vec<SlowRequest> {
    server.usage().slow
}

#[test]
fn a_slow_request_is_reported_once_with_its_times() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    wire.client(GET).server(OK);
    assert_eq!(slow(&mut server), [], "a fast one is not");
    wire.client(QUEUE);
    thread::sleep(LONG);
    wire.server(&OK[..20]);
    assert_eq!(slow(&mut server), [], "not yet complete");
    thread::sleep(LONG);
    wire.server(&OK[20..]);
    let [one] = &slow(&mut server)[..] else { panic!("no slow request") };
    assert_eq!((one.method, &*one.route, one.code, one.end), ("POST", "queue", Some(200), End::Complete));
    let first_byte = one.first_byte.expect("a response has begun");
    let tolerance = Duration::from_millis(2);
    assert!(first_byte + tolerance >= LONG && first_byte < 2 * LONG, "{first_byte:?}");
    assert!(one.duration + tolerance >= 2 * LONG && one.duration < 4 * LONG, "{:?}", one.duration);
    assert!(one.ended.elapsed() < Duration::from_secs(10));
    assert_eq!(slow(&mut server), [], "it was reported");
}

#[test]
fn a_stream_is_not_slow() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.client(GET);
    stream.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    thread::sleep(LONG);
    stream.server("5\r\nevent\r\n0\r\n\r\n");
    let usage = server.usage();
    assert_eq!((usage.slow, usage.streams), (Vec::new(), 0));
    assert_eq!(server.counts().streams, 1);
}

#[test]
fn requests_that_end_without_a_response_are_slow() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for by_client in [true, false] {
        let mut wire = server.connect();
        wire.client(GET);
        thread::sleep(LONG);
        let (first, mut second) =
            if by_client { (wire.client, wire.server) } else { (wire.server, wire.client) };
        drop(first);
        ended(&mut second);
        drop(second);
        thread::sleep(Duration::from_millis(50));
        let [one] = &slow(&mut server)[..] else { panic!("no slow request, by client {by_client}") };
        let end = if by_client { End::ClosedByClient } else { End::ClosedByServer };
        assert_eq!((one.code, one.first_byte, one.end), (None, None, end));
        assert!(one.duration + Duration::from_millis(2) >= LONG, "{:?}", one.duration);
    }
}

#[test]
fn one_container_reports_a_limited_number_per_second_and_the_rest_is_counted() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wires: Vec<_> = (0..50).map(|_| server.connect()).collect();
    wires.iter_mut().for_each(|wire| _ = wire.client(GET));
    thread::sleep(LONG);
    wires.iter_mut().for_each(|wire| _ = wire.server(OK));
    let reported = slow(&mut server).len() as u64;
    // The responses may belong to two seconds.
    assert!((16..=32).contains(&reported), "{reported}");
    // The kernel programs have not sent the others; the log has left out all but ten.
    assert_eq!(lost(&server.setup.snapshots, "slow_requests"), 50 - 10);
    assert_eq!(server.counts().completed, 50, "the metrics have all of them");
}
