//! HTTP requests over real connections to sockets of a container's cgroup. Client and server follow a script, so the test
//! knows every request and every byte. The conversations are those of the parser's unit tests, sent through the kernel.

mod awaited;
mod awkward;
mod clients;
mod connections;
mod half_open;
mod hooks;
mod nat;
mod ports;
mod retries;
mod slow;
mod state;
mod streams;
mod uploads;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use glassbox::{
    config::{self, Config},
    snapshot::requests::{Opaque, RequestUsage, duration},
};

use super::{
    sockets::Setup,
    starts::{row, tick_until},
};

/// Requests that take longer are slow.
const SLOW: Duration = Duration::from_millis(250);

/// Everything that is counted is on, so that all tests can share an agent.
fn config() -> Config {
    let requests =
        config::Requests { slow_after_ms: SLOW.into(), upload_images: true, ..config::Requests::default() };
    Config { docker: config::Docker::off(), requests, ..Config::default() }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// What was counted, without times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By method and class of the status.
    responses: BTreeMap<(&'static str, &'static str), u64>,
    completed: u64,
    streams: u64,
    first_events: u64,
    event_gaps: u64,
    request_bytes: u64,
    response_bytes: u64,
    aborted_by_client: u64,
    aborted_by_server: u64,
    opaque: BTreeMap<&'static str, u64>,
    resynchronized: u64,
}

impl Counts {
    fn of(usage: &RequestUsage) -> Self {
        let measures = &usage.measures;
        let count = |kind: usize| measures.durations[kind].count();
        let mut responses = BTreeMap::new();
        for one in &usage.responses {
            *responses.entry((one.method, one.code_class)).or_default() += one.count;
        }
        let opaque = Opaque::ALL.into_iter().map(Opaque::name).zip(measures.opaque);
        Self {
            responses,
            completed: count(duration::RESPONSE),
            streams: count(duration::STREAM),
            first_events: count(duration::FIRST_EVENT),
            event_gaps: count(duration::EVENT_GAP),
            request_bytes: measures.request_bytes,
            response_bytes: measures.response_bytes,
            aborted_by_client: measures.aborted_by_client,
            aborted_by_server: measures.aborted_by_server,
            opaque: opaque.filter(|(_, count)| *count > 0).collect(),
            resynchronized: measures.resynchronized,
        }
    }

    fn since(mut self, before: &Self) -> Self {
        subtract(&mut self.responses, &before.responses);
        subtract(&mut self.opaque, &before.opaque);
        self.completed -= before.completed;
        self.streams -= before.streams;
        self.first_events -= before.first_events;
        self.event_gaps -= before.event_gaps;
        self.request_bytes -= before.request_bytes;
        self.response_bytes -= before.response_bytes;
        self.aborted_by_client -= before.aborted_by_client;
        self.aborted_by_server -= before.aborted_by_server;
        self.resynchronized -= before.resynchronized;
        self
    }

    fn responses(&self) -> u64 {
        self.responses.values().sum()
    }
}

fn subtract<Key: Ord>(counts: &mut BTreeMap<Key, u64>, before: &BTreeMap<Key, u64>) {
    counts.retain(|key, count| {
        *count -= before.get(key).copied().unwrap_or_default();
        *count > 0
    });
}

/// A server in a container, and an agent that is older than the container.
struct Server {
    setup: Setup,
    listener: TcpListener,
    before: Counts,
}

impl Server {
    fn new() -> Self {
        Self::at(false)
    }

    fn at(is_ipv6: bool) -> Self {
        Self::of(Setup::shared(config()), is_ipv6)
    }

    fn with(config: Config) -> Self {
        Self::of(Setup::with(config), false)
    }

    fn of(setup: Setup, is_ipv6: bool) -> Self {
        let listener = setup.listener(is_ipv6, 128);
        Self { setup, listener, before: Counts::default() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn connect(&self) -> Wire {
        Wire::of(TcpStream::connect(self.address()).unwrap(), self.listener.accept().unwrap().0)
    }

    fn usage(&mut self) -> RequestUsage {
        self.setup.engine.tick();
        *row(&self.setup.snapshots, &self.setup.id).unwrap().requests.unwrap_or_default()
    }

    /// What was counted since the last call.
    fn counts(&mut self) -> Counts {
        let all = Counts::of(&self.usage());
        all.clone().since(&std::mem::replace(&mut self.before, all))
    }

    /// As [`counts`](Self::counts), after a condition holds: the end of a connection may arrive a moment later.
    fn counts_when(&mut self, what: &str, holds: impl Fn(&Counts) -> bool) -> Counts {
        let (snapshots, id) = (self.setup.snapshots.clone(), self.setup.id.clone());
        let before = &self.before;
        tick_until(what, &mut self.setup.engine, || {
            let usage = row(&snapshots, &id).unwrap().requests;
            usage.is_some_and(|usage| holds(&Counts::of(&usage).since(before)))
        });
        self.counts()
    }

    /// Counts of a conversation that is cut into segments of this length.
    fn talk(&mut self, segment_bytes: usize, conversation: impl Fn(&mut Wire)) -> (Counts, Wire) {
        let mut wire = self.connect();
        wire.segment_bytes = segment_bytes;
        conversation(&mut wire);
        (self.counts(), wire)
    }
}

/// A connection with both of its ends.
struct Wire {
    client: TcpStream,
    server: TcpStream,
    segment_bytes: usize,
    request_bytes: u64,
    response_bytes: u64,
}

impl Wire {
    fn of(client: TcpStream, server: TcpStream) -> Self {
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        Self { client, server, segment_bytes: usize::MAX, request_bytes: 0, response_bytes: 0 }
    }

    fn client(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.request_bytes += text.as_ref().len() as u64;
        transfer(&mut self.client, &mut self.server, text.as_ref(), self.segment_bytes);
        self
    }

    fn server(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.response_bytes += text.as_ref().len() as u64;
        transfer(&mut self.server, &mut self.client, text.as_ref(), self.segment_bytes);
        self
    }
}

/// Each piece is one write, and is received before the next one is sent, so it has a segment of its own.
fn transfer(from: &mut TcpStream, to: &mut TcpStream, text: &[u8], segment_bytes: usize) {
    let mut received = vec![0; segment_bytes.min(1 << 16)];
    for piece in text.chunks(segment_bytes.min(1 << 16)) {
        from.write_all(piece).unwrap();
        let received = &mut received[..piece.len()];
        to.read_exact(received).unwrap();
        assert_eq!(received, piece);
        set_option(to, libc::IPPROTO_TCP, libc::TCP_QUICKACK, &1_i32);
    }
}

/// Sets a socket option.
fn set_option<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) {
    // SAFETY: a live value and its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Makes the close of a socket send a reset.
fn reset_on_close(socket: &impl AsRawFd) {
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 });
}

/// Makes a socket reject every packet. It acknowledges nothing more, and does not answer with a reset.
fn reject_packets(socket: &impl AsRawFd) {
    let mut reject = libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 };
    let filter = libc::sock_fprog { len: 1, filter: &raw mut reject };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter);
}

/// Waits for the end of the other side.
fn ended(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut rest);
}
