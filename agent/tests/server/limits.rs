//! More connections, or more unread responses, than the limits allow.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use glassbox::server::Options;

use super::{
    client::{Answer, answer, connect, get, rest},
    host::{Server, options, snapshot},
    hostile_http::stall,
};

/// A number of containers whose text does not fit into socket buffers.
const BULK: usize = 2200;

/// Sends a request on a new connection, which may be refused.
fn try_get(server: &Server, path: &str) -> Option<Answer> {
    let mut stream = connect(server.address);
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    answer(&mut stream, false)
}

/// A server whose responses do not fit into socket buffers. The text of its first snapshot is already encoded.
fn bulky_server(options: Options) -> Server {
    let server = Server::with(BULK, options);
    let length = get(server.address, "/metrics").body.len();
    assert!(length > 6 << 20, "{length} would fit into socket buffers");
    server
}

fn evictions(server: &Server, reason: &str) -> f64 {
    server.counter(&format!("glassbox_server_evictions_total{{reason=\"{reason}\"}}"))
}

/// Waits for the first byte of a response.
fn first_byte(stream: &mut TcpStream) {
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn changed_limits_apply_to_new_connections() {
    let server = Server::with(1, Options { header_timeout: Duration::from_secs(60), ..options() });
    let mut idle: Vec<_> = (0..3).map(|_| connect(server.address)).collect();
    for stream in &mut idle {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(answer(stream, false).unwrap().status, 200);
    }
    server.configure(Options { max_connections: 2, header_timeout: Duration::from_millis(100), ..options() });
    // With the new limit, the new connection replaces one that is idle.
    let mut new = connect(server.address);
    assert_eq!(rest(&mut idle[0]), b"", "the longest idle connection is closed");
    let begun = Instant::now();
    assert!(rest(&mut new).is_empty() && begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn a_changed_limit_of_unread_bytes_disconnects_slow_readers() {
    let server = bulky_server(options());
    let mut slow = stall(server.address);
    first_byte(&mut slow);
    server.configure(Options { max_unread_bytes: 1 << 20, ..options() });
    let deadline = Instant::now() + Duration::from_secs(10);
    while evictions(&server, "unread") < 1.0 {
        assert!(Instant::now() < deadline, "the slow reader is still connected");
    }
}

#[test]
fn idle_connections_do_not_block_other_clients() {
    let mut options = options();
    options.max_connections = 8;
    options.header_timeout = Duration::from_secs(60);
    let server = Server::with(1, options);
    let mut crowd: Vec<_> = (0..8).map(|_| connect(server.address)).collect();
    // A request now and then keeps these connections alive, as an attacker would do.
    for stream in &mut crowd {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(answer(stream, false).unwrap().status, 200);
    }
    for _ in 0..30 {
        assert_eq!(try_get(&server, "/metrics").map(|answer| answer.status), Some(200));
    }
    // The first connection had been idle for longest. Connections of scrapers were closed by the clients.
    assert!(rest(&mut crowd[0]).is_empty());
    assert!(evictions(&server, "idle") >= 1.0);
}

#[test]
fn a_flood_of_silent_connections_does_not_block_other_clients() {
    let mut options = options();
    options.max_connections = 8;
    options.header_timeout = Duration::from_secs(60);
    let server = Server::with(1, options);
    let crowd: Vec<_> = (0..300).map(|_| connect(server.address)).collect();
    let served = (0..30).filter(|_| try_get(&server, "/healthz").is_some_and(|answer| answer.status == 200));
    assert_eq!(served.count(), 30);
    drop(crowd);
}

/// A server whose connections are all held by clients that have stopped reading.
fn busy_server() -> (Server, Vec<TcpStream>) {
    let mut options = options();
    options.max_connections = 4;
    options.write_timeout = Duration::from_secs(30);
    let server = bulky_server(options);
    let mut stalled: Vec<_> = (0..4).map(|_| stall(server.address)).collect();
    stalled.iter_mut().for_each(first_byte);
    (server, stalled)
}

#[test]
fn health_is_served_if_all_connections_are_busy() {
    let (server, _stalled) = busy_server();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(try_get(&server, path).unwrap().status, 200, "{path}");
    }
    let refusal = try_get(&server, "/metrics").unwrap();
    assert_eq!(refusal.status, 503);
    assert!(refusal.text().contains("too many connections"), "{}", refusal.text());
    // More silent connections than the reserve for probes holds.
    let _silent: Vec<_> = (0..20).map(|_| connect(server.address)).collect();
    assert_eq!(try_get(&server, "/healthz").unwrap().status, 200);
    // After a second, a slow response may be cut to make room for another client.
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(try_get(&server, "/metrics/cadvisor").unwrap().status, 200);
    assert!(evictions(&server, "slow") >= 1.0);
}

#[test]
fn eight_concurrent_health_requests_are_served_if_all_connections_are_busy() {
    let (server, _stalled) = busy_server();
    // All of them connect before the first one sends its request.
    let mut probes: Vec<_> = (0..8).map(|_| connect(server.address)).collect();
    for (number, stream) in probes.iter_mut().enumerate() {
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let status = asked.ok().and_then(|()| answer(stream, false)).map(|answer| answer.status);
        assert_eq!(status, Some(200), "{number}");
    }
}

#[test]
fn a_response_has_a_deadline_even_if_it_is_read_steadily() {
    let mut options = options();
    options.response_timeout = Duration::from_secs(3);
    // Longer than the response timeout, because both increment the same counter.
    options.write_timeout = Duration::from_secs(30);
    options.header_timeout = Duration::from_secs(5);
    let server = bulky_server(options);
    let mut stream = stall(server.address);
    let began = Instant::now();
    while stream.read_exact(&mut [0; 50_000]).is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"response\"}"), 1.0);
    // The limit is per response: a keep-alive connection may last longer.
    let mut kept = connect(server.address);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(900));
        // A path whose response does not depend on the age of the snapshot.
        kept.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(answer(&mut kept, false).unwrap().status, 404);
    }
}

#[test]
fn slow_readers_of_old_snapshots_are_disconnected_above_the_memory_limit() {
    let mut options = options();
    options.write_timeout = Duration::from_secs(120);
    options.response_timeout = Duration::from_secs(120);
    let server = bulky_server(options.clone());
    let length = get(server.address, "/metrics").body.len();
    server.end();
    // Two superseded texts are below the limit, three are above it.
    options.max_unread_bytes = length * 5 / 2;
    let server = bulky_server(options);
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = stall(server.address);
        first_byte(&mut reader);
        readers.push(reader);
        server.publish(snapshot(BULK));
    }
    assert_eq!(get(server.address, "/metrics").status, 200);
    let began = Instant::now();
    while evictions(&server, "unread") < 3.0 && began.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(evictions(&server, "unread"), 3.0);
    let cut: Vec<_> = readers.iter_mut().map(is_cut).collect();
    assert_eq!(cut, [true, true, true, false, false]);
}

/// Whether the server has reset the connection. Unread bytes are left alone, because reading would let the server continue
/// with the response.
fn is_cut(stream: &mut TcpStream) -> bool {
    let error = stream.take_error().unwrap();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[test]
fn a_client_that_shuts_down_its_side_gets_the_whole_response() {
    let server = Server::with(500, options());
    for path in ["/metrics/cadvisor", "/healthz"] {
        for _ in 0..20 {
            // A new snapshot, so that the text must be encoded after the client has shut down its side.
            server.publish(snapshot(500));
            let mut stream = connect(server.address);
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(answer(&mut stream, false).expect(path).status, 200);
            assert!(rest(&mut stream).is_empty());
        }
    }
}
