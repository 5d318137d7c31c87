//! An HTTP server whose requests take their time, each for another reason. One thread per connection.
//!
//! Arguments: its address, the path of a named pipe, the address of another server.
//!
//! | path | what the request does |
//! |---|---|
//! | `/ok` | nothing |
//! | `/fail` | fails: its status is 500 |
//! | `/render` | uses the CPU for 20 ms |
//! | `/generate` | sends 20 events, one every 100 ms |
//! | `/burn` | uses the CPU for 9 s |
//! | `/loop` | uses the CPU until a request `/release` |
//! | `/lock` | waits in futex(2) until a request `/release` |
//! | `/disk` | reads the named pipe until its end |
//! | `/write/PATH` | writes the file `/PATH` |
//! | `/pause` | answers, but no further connection is accepted until this one is closed |
//! | `/upload/BYTES` | reads a body of this many bytes |
//! | `/download` | sends 64 MiB, more than the buffers of both sockets hold |
//! | `/upstream` | connects to the other server and reads until the connection is closed |

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const BURN: Duration = Duration::from_secs(9);
const RENDER: Duration = Duration::from_millis(20);
const EVENTS: usize = 20;
const EVENT_GAP: Duration = Duration::from_millis(100);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
const FAILURE: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A response that no buffers hold: the kernel grows those of one connection to some 10 MiB.
const LARGE_BYTES: usize = 64 << 20;

/// Whether no connection is accepted.
static PAUSED: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct Release {
    is_set: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Release {
    fn set(&self) {
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_set.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    fn wait(&self) {
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(held, |()| !self.is_set()));
    }
}

struct Peers {
    pipe: String,
    upstream: String,
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, pipe, upstream] = arguments.as_slice() else {
        return Err(std::io::Error::other("arguments: ADDRESS PIPE UPSTREAM"));
    };
    let listener = TcpListener::bind(address)?;
    let release = Arc::new(Release::default());
    let peers = Arc::new(Peers { pipe: pipe.clone(), upstream: upstream.clone() });
    loop {
        while PAUSED.load(Ordering::Relaxed) {
            thread::sleep(RENDER);
        }
        let (stream, release, peers) = (listener.accept()?.0, Arc::clone(&release), Arc::clone(&peers));
        // A client that has gone is no error of the server.
        thread::spawn(move || drop(serve(stream, &release, &peers)));
    }
}

fn serve(mut stream: TcpStream, release: &Release, peers: &Peers) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    let end = head.windows(4).position(|end| end == b"\r\n\r\n").map_or(head.len(), |at| at + 4);
    let (head, body) = head.split_at(end);
    let head = String::from_utf8_lossy(head);
    match head.split(' ').nth(1).unwrap_or_default() {
        "/burn" => burn(BURN),
        "/render" => burn(RENDER),
        "/fail" => return stream.write_all(FAILURE),
        "/generate" => return generate(&mut stream),
        "/loop" => {
            while !release.is_set() {
                std::hint::spin_loop();
            }
        }
        "/lock" => release.wait(),
        "/release" => release.set(),
        "/pause" => {
            PAUSED.store(true, Ordering::Relaxed);
            stream.write_all(ANSWER)?;
            let closed = stream.read(&mut piece);
            PAUSED.store(false, Ordering::Relaxed);
            return closed.map(|_| ());
        }
        "/download" => return download(&mut stream),
        "/disk" => drop(fs::read(&peers.pipe)?),
        "/upstream" => {
            TcpStream::connect(&peers.upstream)?.read_to_end(&mut Vec::new())?;
        }
        path => {
            if let Some(file) = path.strip_prefix("/write") {
                fs::write(file, "x")?;
            } else if let Some(bytes) = path.strip_prefix("/upload/") {
                let bytes: u64 = bytes.parse().map_err(std::io::Error::other)?;
                let rest = bytes.saturating_sub(body.len() as u64);
                std::io::copy(&mut (&stream).take(rest), &mut std::io::sink())?;
            }
        }
    }
    stream.write_all(ANSWER)
}

fn download(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {LARGE_BYTES}\r\n\r\n")?;
    let piece = [b'x'; 1 << 16];
    for _ in 0..LARGE_BYTES / piece.len() {
        stream.write_all(&piece)?;
    }
    Ok(())
}

fn burn(duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::hint::spin_loop();
    }
}

fn generate(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(STREAM)?;
    for _ in 0..EVENTS {
        thread::sleep(EVENT_GAP);
        stream.write_all(b"d\r\ndata: word\n\n\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")
}
