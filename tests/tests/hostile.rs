//! The agent's process with hostile clients and sockets, within the memory limit of its unit.
//!
//! The limits need root and a memory controller. No containers and kernel programs are used.

#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{agent::Agent, fake_tree::FakeTree, http, memory_limit::MemoryLimit};

/// `MemoryMax=` in systemd/glassbox.service.
const LIMIT_BYTES: u64 = 256 << 20;
/// Number of elements of a listing that needed 1.4 GB.
const LISTED: usize = 1_800_000;

/// The configuration of an agent that sees only `tree`, with further keys.
fn configuration(tree: &FakeTree, more: &str) -> String {
    format!(
        "[paths]\ncgroup = {:?}\n[kernel]\nenabled = false\n[podman]\nsockets = []\n[containerd]\nsockets = []\n\
         [cri]\nsockets = []\n[collectors]\nnvml = false\nnvidia_driver = false\nnetwork = false\n{more}",
        tree.path()
    )
}

fn healthy(agent: &Agent) -> bool {
    http::get(agent.address, "/healthz").is_ok_and(|answer| answer.status == 200)
}

/// Requests all metrics with a small receive buffer, and reads 100 kB every three seconds.
fn read_slowly(address: SocketAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut wait = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if wait.elapsed() < Duration::from_secs(3) {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
            wait = Instant::now();
            match stream.read_exact(&mut [0; 100_000]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
                Ok(()) => {}
            }
        }
    }
}

#[test]
fn the_agent_survives_64_slow_readers_of_a_thousand_containers() {
    let name = "the_agent_survives_64_slow_readers_of_a_thousand_containers";
    let Some(limit) = MemoryLimit::new(LIMIT_BYTES) else {
        return glassbox_tests::skip(name, "needs root and a memory controller");
    };
    let tree = FakeTree::new(1000).unwrap();
    let config = configuration(&tree, "[docker]\nenabled = false\n");
    let agent = Agent::start_with(&config, |command| limit.confine(command));
    let stop = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let mut most = 0;
        for _ in 0..64 {
            scope.spawn(|| read_slowly(agent.address, &stop));
            // About one per tick, so that each reads another text.
            thread::sleep(Duration::from_millis(700));
            most = most.max(agent.resident_bytes());
            if limit.oom_kills() != 0 {
                break;
            }
        }
        thread::sleep(Duration::from_secs(5));
        let well = healthy(&agent);
        stop.store(true, Ordering::Relaxed);
        assert!(well, "the agent does not respond");
        most
    });
    assert_eq!(limit.oom_kills(), 0);
    println!("64 slow readers: {} MiB at most", most >> 20);
}

/// A Docker Engine that lists very many containers without names.
struct EndlessEngine {
    directory: tempfile::TempDir,
    listings: Arc<AtomicUsize>,
}

impl EndlessEngine {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let listings = Arc::new(AtomicUsize::new(0));
        let mut text = String::from("[");
        for _ in 0..LISTED {
            text.push_str(r#"{"Id":"0"},"#);
        }
        text.replace_range(text.len() - 1.., "]");
        let mut listing = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        write!(listing, "{text}").unwrap();
        let (listing, count) = (Arc::new(listing), Arc::clone(&listings));
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (listing, count) = (Arc::clone(&listing), Arc::clone(&count));
                thread::spawn(move || serve(stream, &listing, &count));
            }
        });
        Self { directory, listings }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }
}

fn serve(mut stream: UnixStream, listing: &str, listings: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    if head.starts_with(b"GET /events") {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        // The end of the events makes the agent list again.
        thread::sleep(Duration::from_secs(3));
    } else if head.starts_with(b"GET /containers/json") {
        let _ = stream.write_all(listing.as_bytes());
        listings.fetch_add(1, Ordering::Relaxed);
    }
}

fn with_docker(tree: &FakeTree, socket: &Path) -> String {
    configuration(tree, &format!("[docker]\nsocket = {socket:?}\n"))
}

#[test]
fn the_agent_survives_a_listing_of_millions_and_still_exits_promptly() {
    let name = "the_agent_survives_a_listing_of_millions_and_still_exits_promptly";
    let Some(limit) = MemoryLimit::new(LIMIT_BYTES) else {
        return glassbox_tests::skip(name, "needs root and a memory controller");
    };
    let tree = FakeTree::new(3).unwrap();
    let engine = EndlessEngine::start();
    let mut agent =
        Agent::start_with(&with_docker(&tree, &engine.socket()), |command| limit.confine(command));
    let begun = Instant::now();
    let mut most = 0;
    while engine.listings.load(Ordering::Relaxed) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(120), "listed {:?} times", engine.listings);
        assert!(healthy(&agent), "the agent does not respond");
        most = most.max(agent.resident_bytes());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(limit.oom_kills(), 0);
    println!("a listing of {LISTED}: {} MiB at most", most >> 20);
    // The third listing has just been sent, and the agent is reading it.
    assert!(agent.end_within(Duration::from_secs(2)), "the agent did not exit within 2 s of SIGTERM");
}

#[test]
fn the_agent_exits_promptly_if_a_socket_hangs() {
    let tree = FakeTree::new(3).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("runtime.sock");
    // Accepts connections and sends nothing.
    let _listener = UnixListener::bind(&socket).unwrap();
    let config = format!(
        "[paths]\ncgroup = {:?}\n[kernel]\nenabled = false\n[podman]\nsockets = [{socket:?}]\n\
         [containerd]\nsockets = [{socket:?}]\n[cri]\nsockets = [{socket:?}]\n[docker]\nsocket = {socket:?}\n",
        tree.path()
    );
    let mut agent = Agent::start(&config);
    assert!(agent.end_within(Duration::from_secs(2)), "the agent did not exit within 2 s of SIGTERM");
}

#[test]
fn the_agent_exits_promptly_if_reading_a_file_blocks() {
    let mut tree = FakeTree::new(1).unwrap();
    let mut agent = Agent::start(&configuration(&tree, "[docker]\nenabled = false\n"));
    // The next container's file is a FIFO without a writer, so the tick blocks when it opens the file.
    let file = tree.path().join("model/memory.stat");
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    tree.add(1).unwrap();
    thread::sleep(Duration::from_secs(4));
    let metrics = agent.metrics();
    assert!(metrics.contains("glassbox_containers_discovered_total 1\n"), "no tick is blocked by the file");
    assert!(agent.end_within(Duration::from_secs(2)), "the agent did not exit within 2 s of SIGTERM");
}

#[test]
fn memory_is_released_within_a_minute_after_a_storm_of_containers() {
    /// Share of what the storm added that may be left: pages with something in use.
    const LEFT_MAX: f64 = 0.1;
    let mut tree = FakeTree::new(30).unwrap();
    let config = format!(
        "tick_ms = 500\n{}",
        configuration(&tree, "[docker]\nenabled = false\n[containers]\nkeep_ended_s = 1\n")
    );
    let agent = Agent::start(&config);
    let scrape_until = |seconds, is_enough: &dyn Fn(u64) -> bool| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) && !is_enough(agent.anonymous_bytes()) {
            let _ = agent.metrics();
            thread::sleep(Duration::from_secs(1));
        }
        agent.anonymous_bytes()
    };
    let scrape_for = |seconds| scrape_until(seconds, &|_| false);
    let before = scrape_for(10);
    let mut peak = before;
    for _ in 0..3 {
        tree.add(800).unwrap();
        peak = peak.max(scrape_for(4));
        tree.truncate(30).unwrap();
        peak = peak.max(scrape_for(3));
    }
    let over = Instant::now();
    let limit = before + ((peak - before) as f64 * LEFT_MAX) as u64;
    let after = scrape_until(60, &|bytes| bytes <= limit);
    let [before_kib, peak_kib, after_kib] = [before, peak, after].map(|bytes| bytes >> 10);
    println!(
        "before {before_kib} KiB, in the storm {peak_kib} KiB, {:?} after it {after_kib} KiB",
        over.elapsed()
    );
    assert!(peak > before * 3 / 2, "memory did not grow: {before} and {peak} bytes");
    assert!(after <= limit, "{before} bytes before, {after} after, at most {limit} expected");
}
