//! Slow, greedy and malformed clients. The server disconnects or refuses each within a bounded time, and serves others
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

/// Panics unless the server closes the connection within this time.
fn assert_cut_within(stream: &mut TcpStream, time: Duration) {
    let began = Instant::now();
    rest(stream);
    assert!(began.elapsed() < time, "cut after {:?}", began.elapsed());
}

#[test]
fn a_request_head_that_arrives_too_slowly_is_cut() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    let began = Instant::now();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // Until the server closes the connection. Each write alone is within the timeout.
    while stream.write_all(b"x: y\r\n").is_ok() && began.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"request\"}"), 1.0);
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let server = Server::with(1, options());
    assert_cut_within(&mut connect(server.address), Duration::from_secs(3));
    let mut kept = connect(server.address);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer(&mut kept, false).unwrap().status, 200);
    assert_cut_within(&mut kept, Duration::from_secs(3));
    // An idle keep-alive connection usually ends this way, so it is not counted as a timeout.
    assert_eq!(server.counter("glassbox_server_timeouts_total{phase=\"request\"}"), 1.0);
}

#[test]
fn a_huge_request_head_is_refused() {
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
        // The server may close the connection before everything is written.
        let _ = stream.write_all(head.as_bytes());
        let response = rest(&mut stream);
        let refused = response.is_empty() || response.starts_with(b"HTTP/1.1 4");
        assert!(refused, "{}", String::from_utf8_lossy(&response));
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn clients_that_never_read_are_cut_and_share_one_text() {
    // Memory of other tests in this process would be measured, too.
    if !is_alone("hostile_http::clients_that_never_read_are_cut_and_share_one_text") {
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
fn a_client_that_reads_slowly_is_cut_at_the_maximum_connection_age() {
    let mut options = options();
    options.connection_age = Duration::from_millis(800);
    let server = Server::with(2000, options);
    let mut stream = stall(server.address);
    let began = Instant::now();
    // Reading now and then keeps the write timeout from expiring.
    while stream.read_exact(&mut [0; 100_000]).is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_busy_connection_is_closed_between_requests_at_the_maximum_age() {
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
fn a_request_body_is_refused_and_not_read() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    stream
        .write_all(b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n")
        .unwrap();
    let began = Instant::now();
    let mut sent = 0;
    while let Ok(length) = stream.write(&[b'x'; 65_536]) {
        sent += length;
        assert!(sent < 64 << 20, "the server read the body");
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
    // Pseudo-random bytes with a fixed seed.
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
                let response = rest(&mut stream);
                let refused = response.is_empty() || response.starts_with(b"HTTP/1.1 4");
                assert!(refused, "{bytes:?}: {}", String::from_utf8_lossy(&response));
            });
        }
    });
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn clients_that_disconnect_immediately_leave_no_work_behind() {
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
fn unknown_paths_are_refused() {
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
        "/healthz/container/",
        "/healthz/container/none",
        "/healthz/container/%3Cscript%3E",
        "/healthz/container/%ff%00",
        "/healthz/container/../../metrics",
        "/healthz/container/a/b/c/d",
    ] {
        let answer = request(server.address, "GET", path, "");
        assert!([404, 400].contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.body.len() < 100, "{path}");
    }
    for path in [
        "/c/none",
        "/c/%3Cscript%3E",
        "/c/%ff%00",
        "/c/..",
        "/c/../metrics",
        "/c/%2e%2e%2fmetrics",
        "/c/a/b/c/d",
        "/c//",
        &format!("/c/{}?q={0}&lang={0}&show={0}", "%3Cb%3E".repeat(250)),
    ] {
        let answer = get(server.address, path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let page = answer.text();
        assert!(page.contains("all containers") && page.len() < 12_000, "{path}: {page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{path}: {page}");
    }
    // The query is ignored.
    assert_eq!(get(server.address, "/healthz?x=../../etc/passwd").text(), "ok\n");
}

/// A client with a small receive buffer that requests everything and reads nothing.
pub(crate) fn stall(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let room: libc::c_int = 4096;
    // SAFETY: the descriptor is open and `room` is an int that outlives the call.
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

/// True in a process that runs only this test. Otherwise starts such a process and passes its result on.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "GLASSBOX_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let run = Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).env(ALONE, "1").output();
    let output = run.unwrap();
    let response = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && response.contains("1 passed"), "{response}");
    false
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
