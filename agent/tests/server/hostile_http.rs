//! Clients that are slow, greedy, rude or mad. Each is cut or refused in bounded time, and others are served
//! meanwhile.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{answer, connect, get, request, rest},
    host::{Server, options},
};

/// That a connection is ended by the server within this time.
fn assert_cut_within(stream: &mut TcpStream, time: Duration) {
    let began = Instant::now();
    rest(stream);
    assert!(began.elapsed() < time, "cut after {:?}", began.elapsed());
}

#[test]
fn a_head_that_drips_is_cut() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    let began = Instant::now();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // Until the server has had enough; each byte alone would be soon enough.
    while stream.write_all(b"x: y\r\n").is_ok() && began.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"request\"}"), 1.0);
}

#[test]
fn a_connection_without_a_request_is_cut() {
    let server = Server::with(1, options());
    assert_cut_within(&mut connect(server.address), Duration::from_secs(3));
    let mut kept = connect(server.address);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer(&mut kept, false).unwrap().status, 200);
    assert_cut_within(&mut kept, Duration::from_secs(3));
    // The second is how a scraper's connection usually ends, and no reason to worry.
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"request\"}"), 1.0);
}

#[test]
fn a_huge_head_is_refused() {
    let server = Server::with(1, options());
    let big = "y".repeat(1 << 20);
    let many = "x: y\r\n".repeat(1 << 17);
    let path = format!("GET /{big} HTTP/1.1\r\n\r\n");
    for head in [
        format!("GET /metrics HTTP/1.1\r\nx: {big}\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\n{many}\r\n"),
        path,
        big,
    ] {
        let mut stream = connect(server.address);
        // The server may well end it before all is written.
        let _ = stream.write_all(head.as_bytes());
        let said = rest(&mut stream);
        let refused = said.is_empty() || said.starts_with(b"HTTP/1.1 4");
        assert!(refused, "{}", String::from_utf8_lossy(&said));
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn clients_that_never_read_are_cut_and_cost_no_memory_each() {
    // Other tests of this process would be measured, too.
    if !is_alone("hostile_http::clients_that_never_read_are_cut_and_cost_no_memory_each") {
        return;
    }
    let mut options = options();
    options.write_timeout = Duration::from_secs(10);
    let server = Server::with(3000, options);
    let body = get(server.address, "/metrics").body.len();
    assert!(body > 8 << 20, "{body} would fit into socket buffers");
    let before = resident_bytes();
    let mut stalled: Vec<_> = (0..40).map(|_| stall(server.address)).collect();
    thread::sleep(Duration::from_millis(300));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 4 * body, "{grown} bytes for 40 clients of {body}");
    assert_eq!(server.counter("glassbox_server_open_connections"), 41.0);
    thread::sleep(Duration::from_secs(12));
    assert_eq!(server.counter("glassbox_server_open_connections"), 1.0);
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"response\"}"), 40.0);
    for stream in &mut stalled {
        assert!(rest(stream).len() < body);
    }
}

#[test]
fn a_client_that_reads_by_the_drop_is_cut_when_the_connection_is_old() {
    let mut options = options();
    options.connection_age = Duration::from_millis(800);
    let server = Server::with(2000, options);
    let mut stream = stall(server.address);
    let began = Instant::now();
    // Some bytes now and then keep the write timeout from ever passing.
    while stream.read_exact(&mut [0; 100_000]).is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_busy_connection_ends_between_requests_when_it_is_old() {
    let mut options = options();
    options.connection_age = Duration::from_millis(500);
    let server = Server::with(1, options);
    let mut stream = connect(server.address);
    let began = Instant::now();
    loop {
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        match answer(&mut stream, false) {
            Some(answer) => assert_eq!(answer.status, 200),
            None => break,
        }
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = began.elapsed();
    assert!((400..3000).contains(&lasted.as_millis()), "{lasted:?}");
}

#[test]
fn a_body_is_refused_and_not_read() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    stream
        .write_all(b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n")
        .unwrap();
    let began = Instant::now();
    let mut sent = 0;
    while let Ok(length) = stream.write(&[b'x'; 65_536]) {
        sent += length;
        assert!(sent < 64 << 20, "the body is read");
    }
    assert!(began.elapsed() < Duration::from_secs(3));

    let answer = request(server.address, "POST", "/metrics", "content-length: 5\r\n");
    assert_eq!(answer.status, 405);
    let answer = request(server.address, "GET", "/healthz", "transfer-encoding: chunked\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn garbage_is_refused() {
    let server = Server::with(1, options());
    let mut garbage: Vec<Vec<u8>> = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET  /metrics\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\0\0",
        b"GET /metrics HTTP/1.1\r\nhost h\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\ntransfer-encoding: what\r\n\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    // A fixed stream of random bytes.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20 {
        let bytes = (0..500).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        });
        garbage.push(bytes.collect());
    }
    let address = server.address;
    thread::scope(|scope| {
        for bytes in &garbage {
            scope.spawn(move || {
                let mut stream = connect(address);
                let _ = stream.write_all(bytes);
                let said = rest(&mut stream);
                let refused = said.is_empty() || said.starts_with(b"HTTP/1.1 4");
                assert!(refused, "{bytes:?}: {}", String::from_utf8_lossy(&said));
            });
        }
    });
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn clients_that_leave_at_once_do_not_pile_up_work() {
    let server = Server::with(1000, options());
    let before = server.counter("glassbox_server_encodes_total");
    for _ in 0..50 {
        connect(server.address).write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    let after = server.counter("glassbox_server_encodes_total");
    assert!(after <= before + 2.0, "{} texts", after - before);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    let paths = ["/healthz", "/nothing", "/metrics/cadvisor", "/readyz"];
    let requests: String = paths
        .iter()
        .cycle()
        .take(100)
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    for (number, status) in [200, 404, 200, 200].into_iter().cycle().take(100).enumerate() {
        assert_eq!(answer(&mut stream, false).unwrap().status, status, "{number}");
    }
}

#[test]
fn paths_that_are_not_ours_lead_nowhere() {
    let server = Server::with(1, options());
    for path in [
        "/../etc/passwd",
        "/metrics/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//metrics",
        "/metrics/",
        "/METRICS",
        "/metrics%00",
        "/metrics/cadvisor/x",
        "/\u{fffd}",
        "/debug/pprof",
    ] {
        let answer = request(server.address, "GET", path, "");
        assert!([404, 400].contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.body.len() < 100, "{path}");
    }
    // A query changes nothing.
    assert_eq!(get(server.address, "/healthz?x=../../etc/passwd").text(), "ok\n");
}

/// A client that asks for everything and reads nothing, with little room of its own.
pub(crate) fn stall(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let room: libc::c_int = 4096;
    // SAFETY: the descriptor is open and `room` is an int that lives through the call.
    let failed = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const room).cast(),
            size_of_val(&room) as libc::socklen_t,
        )
    };
    assert_eq!(failed, 0);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream
}

/// True in a process that runs this test only; elsewhere, runs one and passes on how it went.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "GLASSBOX_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let run = Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).env(ALONE, "1").output();
    let output = run.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
