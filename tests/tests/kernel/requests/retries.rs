//! Clients that send a request again after a failure.

use std::net::{Ipv4Addr, TcpStream};

use super::{
    super::{
        probe::ALONE,
        sockets::{bind, connect, domain},
    },
    GET, OK, Server, Wire, ended, reset_on_close,
};

const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
const QUEUE: &str = "GET /queue/data HTTP/1.1\r\n\r\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn failed(status: u16) -> String {
    format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")
}

/// Retries since the last call, by route.
fn retries(server: &mut Server, known: &mut Vec<(String, u64)>) -> Vec<(String, u64)> {
    let all: Vec<_> =
        server.usage().retries.iter().map(|retry| (retry.route.to_string(), retry.count)).collect();
    let before = |route: &str| known.iter().find(|(known, _)| known == route).map_or(0, |(_, count)| *count);
    let new = all.iter().map(|(route, count)| (route.clone(), count - before(route)));
    let new = new.filter(|(_, count)| *count > 0).collect();
    *known = all;
    new
}

fn other(count: u64) -> Vec<(String, u64)> {
    vec![("other".to_owned(), count)]
}

#[test]
fn a_request_after_a_failure_of_the_same_kind_and_client_is_a_retry() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut known = Vec::new();
    let mut wire = server.connect();
    wire.client(GET).server(OK).client(GET).server(OK);
    assert_eq!(retries(&mut server, &mut known), [], "nothing has failed");
    for status in [500, 503, 429, 408] {
        wire.client(GET).server(failed(status));
        // On another connection, and not counted twice.
        let mut again = server.connect();
        again.client(GET).server(OK).client(GET).server(OK);
        assert_eq!(retries(&mut server, &mut known), other(1), "{status}");
    }
    wire.client(GET).server(failed(500)).client(GET).server(failed(500)).client(GET).server(OK);
    assert_eq!(retries(&mut server, &mut known), other(2), "a retry that fails is retried");
    for status in [200, 400, 404] {
        wire.client(GET).server(failed(status)).client(GET).server(OK);
    }
    assert_eq!(retries(&mut server, &mut known), [], "no failures of the server");
}

#[test]
fn a_request_of_another_kind_or_client_is_no_retry() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut known = Vec::new();
    let mut wire = server.connect();
    wire.client(GET).server(failed(500)).client(POST).server(OK).client(QUEUE).server(OK);
    let socket = server.setup.sockets.socket(domain(false), libc::SOCK_STREAM);
    bind(&socket, (Ipv4Addr::new(127, 0, 0, 2), 0).into());
    connect(&socket, server.address()).unwrap();
    let mut elsewhere = Wire::of(TcpStream::from(socket), server.listener.accept().unwrap().0);
    elsewhere.client(GET).server(OK);
    assert_eq!(retries(&mut server, &mut known), []);
    wire.client(QUEUE).server(failed(503)).client(QUEUE).server(OK).client(GET).server(OK);
    assert_eq!(retries(&mut server, &mut known), [other(1), vec![("queue".to_owned(), 1)]].concat());
}

#[test]
fn a_request_after_a_connection_without_a_response_is_a_retry() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut known = Vec::new();
    for (by_client, reset) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut wire = server.connect();
        wire.client(GET);
        let (first, mut second) =
            if by_client { (wire.client, wire.server) } else { (wire.server, wire.client) };
        if reset {
            reset_on_close(&first);
        }
        drop(first);
        ended(&mut second);
        // A server may notice later that the client is gone.
        let mut again = server.connect();
        again.client(GET).server(OK);
        drop(second);
        again.client(GET).server(OK);
        let what = format!("by client {by_client}, reset {reset}");
        assert_eq!(retries(&mut server, &mut known), other(1), "{what}");
    }
}

#[test]
fn a_stream_that_the_client_closes_has_not_failed() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut known = Vec::new();
    let mut wire = server.connect();
    wire.client(QUEUE).server(STREAM);
    drop(wire.client);
    ended(&mut wire.server);
    drop(wire.server);
    let mut again = server.connect();
    again.client(QUEUE).server(OK);
    assert_eq!(retries(&mut server, &mut known), []);
}
