//! What the server's requests do at the moment, and how a connection ends.

use std::{
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{super::probe::ALONE, Counts, GET, OK, Server, ended, reset_on_close, set_option};

#[test]
fn requests_are_in_flight_while_the_server_hangs() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wires: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let begun = Instant::now();
    wires[0].client(GET);
    thread::sleep(Duration::from_millis(300));
    wires[1].client(GET).client(GET);
    wires[2].client(GET).server(&OK[..20]);
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.unanswered), (4, 3));
    let oldest = usage.oldest.expect("a request is in flight");
    assert!(oldest >= Duration::from_millis(300) && oldest <= begun.elapsed(), "{oldest:?}");
    wires[0].server(OK);
    wires[1].server(OK);
    wires[2].server(&OK[20..]);
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.unanswered), (1, 1));
    assert!(usage.oldest.is_some_and(|oldest| oldest + Duration::from_millis(300) <= begun.elapsed()));
    wires[1].server(OK);
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.unanswered, usage.oldest), (0, 0, None));
    assert_eq!(server.counts().responses(), 4);
}

#[test]
fn a_request_that_is_still_arriving_is_in_flight_and_does_not_wait_for_the_server() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wires = [(); 3].map(|()| server.connect());
    wires[0].client(&GET[..20]);
    wires[1].client("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234");
    wires[2].client("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.unanswered), (3, 0));
    wires[0].client(&GET[20..]);
    wires[1].client("56789");
    wires[2].client("\r\n");
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.unanswered), (3, 3));
    wires.iter_mut().for_each(|wire| _ = wire.server(OK));
    assert_eq!(server.usage().in_flight, 0);
}

#[test]
fn requests_are_answered_and_counted_after_the_listener_is_closed() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let (mut wire, mut idle) = (server.connect(), server.connect());
    idle.client(GET).server(OK);
    wire.client(GET);
    // As a server does that shuts down. Another listener takes the place of the closed one.
    server.listener = server.setup.listener(false, 128);
    (0..5).for_each(|_| assert_eq!(server.usage().in_flight, 1));
    wire.server(OK);
    let counts = server.counts();
    assert_eq!((counts.responses(), counts.completed, counts.response_bytes), (2, 2, 2 * OK.len() as u64));
    assert_eq!(server.usage().in_flight, 0);
    // The connection without a request is followed, too.
    (0..5).for_each(|_| _ = server.usage());
    idle.client(GET).server(OK);
    assert_eq!(server.counts().completed, 1);
}

#[test]
fn a_request_waits_while_the_server_does_not_read() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    std::io::Write::write_all(&mut wire.client, GET.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.usage().in_flight, 1);
    wire.server(OK);
    let durations = server.usage().measures.durations;
    let ms = durations[0].sum_ns / 1_000_000;
    assert!((300..450).contains(&ms), "{ms} ms to the first byte");
}

#[test]
fn requests_whose_connection_ends_are_aborted_by_the_side_that_closed_first() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for (by_client, reset) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut wire = server.connect();
        wire.client(GET.repeat(2)).server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789");
        let sent = wire.response_bytes;
        assert_eq!(server.usage().in_flight, 2);
        let (mut first, mut second) =
            if by_client { (wire.client, wire.server) } else { (wire.server, wire.client) };
        if reset {
            reset_on_close(&first);
            drop(first);
            ended(&mut second);
        } else {
            first.shutdown(Shutdown::Write).unwrap();
            ended(&mut second);
            drop(second);
            ended(&mut first);
        }
        let what = format!("by client {by_client}, reset {reset}");
        let counts =
            server.counts_when(&what, |counts| counts.aborted_by_client + counts.aborted_by_server > 0);
        let expected = Counts {
            responses: [(("GET", "2xx"), 1)].into(),
            aborted_by_client: if by_client { 2 } else { 0 },
            aborted_by_server: if by_client { 0 } else { 2 },
            request_bytes: 2 * GET.len() as u64,
            response_bytes: sent,
            ..Counts::default()
        };
        assert_eq!(counts, expected, "{what}");
        assert_eq!(server.usage().in_flight, 0, "{what}");
    }
}

#[test]
fn a_response_without_a_length_is_complete_when_the_server_closes() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    wire.client("GET / HTTP/1.0\r\n\r\n").server("HTTP/1.1 200 OK\r\n\r\n").server("x".repeat(5000));
    assert_eq!(server.usage().in_flight, 1);
    let sent = wire.response_bytes;
    drop(wire.server);
    ended(&mut wire.client);
    let counts = server.counts_when("the response is complete", |counts| counts.completed == 1);
    assert_eq!((counts.response_bytes, counts.aborted_by_server, counts.aborted_by_client), (sent, 0, 0));
}

#[test]
fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    // As `nc -N` does. The kernel may send the end together with the data.
    wire.client(GET);
    wire.client.shutdown(Shutdown::Write).unwrap();
    ended(&mut wire.server);
    wire.server(OK);
    drop(wire.server);
    ended(&mut wire.client);
    let counts = server.counts();
    assert_eq!((counts.responses(), counts.completed), (1, 1));
    assert_eq!((counts.aborted_by_client, counts.aborted_by_server), (0, 0));
}

#[test]
fn a_connection_that_closes_while_idle_aborts_nothing() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for reset in [false, true] {
        let mut wire = server.connect();
        wire.client(GET).server(OK);
        if reset {
            reset_on_close(&wire.client);
        }
        drop(wire.client);
        ended(&mut wire.server);
        drop(wire.server);
        let counts = server.counts();
        assert_eq!((counts.completed, counts.aborted_by_client, counts.aborted_by_server), (1, 0, 0));
    }
}

/// Sends data and the end of this side in one segment.
fn finish(mut stream: &TcpStream, text: &str) {
    set_option(stream, libc::IPPROTO_TCP, libc::TCP_CORK, &1_i32);
    std::io::Write::write_all(&mut stream, text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn data_in_the_last_segment_of_a_connection_is_counted() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for response in
        [OK, "HTTP/1.1 200 OK\r\n\r\nuntil the end", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"]
    {
        let mut wire = server.connect();
        finish(&wire.client, GET);
        ended(&mut wire.server);
        finish(&wire.server, response);
        ended(&mut wire.client);
        let is_whole = !response.ends_with("short");
        let counts = server.counts();
        let expected = Counts {
            responses: [(("GET", "2xx"), 1)].into(),
            completed: is_whole.into(),
            request_bytes: GET.len() as u64,
            response_bytes: response.len() as u64,
            // The client's side ended first.
            aborted_by_client: (!is_whole).into(),
            ..Counts::default()
        };
        assert_eq!(counts, expected, "{response:?}");
        assert_eq!(server.usage().in_flight, 0);
    }
}
