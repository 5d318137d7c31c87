//! The host names that the server accepts.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    client::{answer, connect, rest},
    host::{Server, options},
};

fn status(server: &Server, request: &str) -> u16 {
    let mut stream = connect(server.address);
    stream.write_all(request.as_bytes()).unwrap();
    answer(&mut stream, false).unwrap().status
}

#[test]
fn a_loopback_listener_refuses_foreign_names() {
    let server = Server::with(1, options());
    for (request, expected) in [
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:9966\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nhost: [::1]:9966\r\n\r\n", 200),
        ("GET /metrics HTTP/1.0\r\n\r\n", 200),
        ("GET http://localhost/metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nhost: evil.example:9966\r\n\r\n", 421),
        ("GET /metrics HTTP/1.0\r\nhost: evil.example\r\n\r\n", 421),
        ("GET http://evil.example/metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", 421),
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
    ] {
        assert_eq!(status(&server, request), expected, "{request}");
    }
}

#[test]
fn the_refusal_names_the_configuration_key_and_configured_names_are_served() {
    let mut options = options();
    options.allowed_hosts = vec!["metrics.example".to_owned()];
    let server = Server::with(1, options);
    assert_eq!(status(&server, "GET /metrics HTTP/1.1\r\nhost: Metrics.Example:80\r\n\r\n"), 200);
    let mut stream = connect(server.address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n").unwrap();
    let refusal = answer(&mut stream, false).unwrap();
    assert_eq!(refusal.status, 421);
    assert!(refusal.text().contains("server.allowed_hosts"), "{}", refusal.text());
}

#[test]
fn changed_host_names_apply_to_open_connections() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    let mut status = || {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: metrics.example\r\n\r\n").unwrap();
        answer(&mut stream, false).unwrap().status
    };
    assert_eq!(status(), 421);
    let mut changed = options();
    changed.allowed_hosts = vec!["metrics.example".to_owned()];
    server.configure(changed);
    // The server applies the change on a thread of its own.
    let deadline = Instant::now() + Duration::from_secs(5);
    let served =
        std::iter::repeat_with(&mut status).find(|status| *status == 200 || Instant::now() > deadline);
    assert_eq!(served, Some(200));
    server.configure(options());
    let refused = std::iter::repeat_with(status).find(|status| *status == 421 || Instant::now() > deadline);
    assert_eq!(refused, Some(421));
}

#[test]
fn after_arbitrary_bytes_the_server_answers_the_next_client() {
    let server = Server::with(1, options());
    let line = "[ -~]{0,40}|GET /metrics HTTP/1.1|host: localhost|content-length: [0-9]{1,20}|transfer-encoding: chunked";
    let texts =
        prop::collection::vec(line, 0..8).prop_map(|lines| (lines.join("\r\n") + "\r\n\r\n").into_bytes());
    let requests = prop_oneof![texts, prop::collection::vec(any::<u8>(), 0..300)];
    proptest!(ProptestConfig::with_cases(64), |(request in requests)| {
        let mut stream = connect(server.address);
        let _ = stream.write_all(&request);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let response = rest(&mut stream);
        prop_assert!(response.is_empty() || response.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&response));
        prop_assert_eq!(status(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"), 200);
    });
}
