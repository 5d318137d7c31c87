//! Clients that stop, send garbage or guess passwords.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use glassbox_tests::{agent::Agent, docker::eventually};

use super::files::{Files, TLS, alice, curl, value};

/// What the agent may use after all attacks.
const RESIDENT_MAX_BYTES: u64 = 128 << 20;

/// The first bytes of a TLS handshake: a record of 512 bytes that does not follow.
const PARTIAL_HELLO: [u8; 6] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

/// Sends bytes and waits until the server closes the connection.
fn cut_after(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let began = Instant::now();
    // The server may close the connection before it has received everything.
    let _ = stream.write_all(bytes);
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => (),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    began.elapsed()
}

fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

#[test]
fn clients_that_stop_or_send_garbage_are_cut_and_others_are_served() {
    let files = Files::new(&format!("{TLS}{}", alice()));
    let agent = files.agent();
    let metrics = || {
        let answer = files.curl(&agent, "/metrics", &["--user", "alice:secret"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    };
    metrics();
    let address = agent.address;
    // header_timeout_ms is 1000.
    for stopped in [&[][..], &PARTIAL_HELLO] {
        let elapsed = cut_after(address, stopped);
        assert!((Duration::from_millis(800)..Duration::from_secs(5)).contains(&elapsed), "{elapsed:?}");
    }
    for garbage in
        [&b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0xff; 65_536], &[0x16; 65_536]]
    {
        let elapsed = cut_after(address, garbage);
        assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    }
    let header = files.path("header");
    std::fs::write(&header, format!("x: {}\n", "y".repeat(1 << 20))).unwrap();
    let huge = files.curl(&agent, "/metrics", &["--header", &format!("@{}", header.display())]);
    assert_ne!(huge.status, 200, "{}", huge.error);

    raise_file_limit();
    let connect = |_| {
        // When the queue of the listener is full, the kernel repeats the attempt after a second.
        std::thread::sleep(Duration::from_millis(1));
        TcpStream::connect(address).ok()
    };
    let idle: Vec<_> = (0..10_000).filter_map(connect).collect();
    assert_eq!(idle.len(), 10_000);
    // Others are served while the connections are open. The text of a tick is cached. Each connection is evicted for a later
    // one, or cut after header_timeout_ms if the machine is busy; at most 64 are still open.
    eventually("the counters", Duration::from_secs(10), || {
        let metrics = metrics();
        let failed = |reason| {
            value(&metrics, &format!("glassbox_server_tls_handshake_failures_total{{reason=\"{reason}\"}}"))
        };
        let evicted = value(&metrics, "glassbox_server_evictions_total{reason=\"idle\"}");
        let cut = evicted + failed("timeout");
        (failed("protocol") == 3.0 && failed("timeout") >= 2.0 && cut >= 9_900.0).then_some(())
    });
    drop(idle);
    assert!(agent.resident_bytes() < RESIDENT_MAX_BYTES, "{} bytes", agent.resident_bytes());
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// CPU time that the agent has used.
fn cpu_time(agent: &Agent) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // SAFETY: no pointers.
    let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.unsigned_abs();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / ticks_per_s)
}

#[test]
fn a_flood_of_wrong_passwords_uses_little_cpu_and_does_not_delay_others() {
    const FLOOD: Duration = Duration::from_secs(6);
    let files = Files::new(&alice());
    let agent = files.agent();
    let url = format!("http://{}/metrics", agent.address);
    assert_eq!(curl(&url, &["--user", "alice:secret"]).status, 200);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(agent.address).unwrap();
                    // alice:wrong
                    let request = "GET /metrics HTTP/1.0\r\nAuthorization: Basic YWxpY2U6d3Jvbmc=\r\n\r\n";
                    let _ = stream.write_all(request.as_bytes());
                    let mut response = String::new();
                    let _ = stream.read_to_string(&mut response);
                    assert!(!response.contains(" 200 "), "{response}");
                    // Without a pause, the agent would mostly be busy with new connections.
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        let (began, before) = (Instant::now(), cpu_time(&agent));
        let mut slowest = Duration::ZERO;
        while began.elapsed() < FLOOD {
            let asked = Instant::now();
            assert_eq!(curl(&url, &["--user", "alice:secret"]).status, 200);
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(200));
        }
        let share = (cpu_time(&agent) - before).as_secs_f64() / began.elapsed().as_secs_f64();
        // A password that is not remembered yet, from another address.
        let asked = Instant::now();
        files.write("web.yml", &format!("{}  carol: {}\n", alice(), super::files::OTHER_HASH));
        let accepted = loop {
            let answer = curl(&url, &["--interface", "127.0.0.2", "--user", "carol:other"]);
            if answer.status == 200 || asked.elapsed() > Duration::from_secs(15) {
                break answer.status;
            }
        };
        stop.store(true, Ordering::Relaxed);
        println!(
            "share of a CPU: {share:.2}, slowest scrape: {slowest:?}, first of a user: {:?}",
            asked.elapsed()
        );
        assert!(share < 0.8, "{share} of a CPU");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        assert_eq!(accepted, 200, "after {:?}", asked.elapsed());
    });
    let metrics = curl(&url, &["--user", "alice:secret"]).text;
    let refused =
        |reason| value(&metrics, &format!("glassbox_server_refused_requests_total{{reason=\"{reason}\"}}"));
    assert!(refused("wrong_password") > 3.0 && refused("load") > 3.0, "{metrics}");
}
