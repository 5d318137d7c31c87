//! Test code: a gRPC server on a Unix socket that stands in for a container runtime. The unit tests of the gRPC clients
//! (`containerd`, `cri`, `runtimes`) share it.

use std::{
    convert::Infallible,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    header::{HeaderMap, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::UnixListener, sync::mpsc};

use crate::containers::{
    metadata::MetadataStore,
    watcher::{RuntimeClient, RuntimeWatcher, Timeouts},
};

/// Short timeouts for fake runtimes, which respond at once or never.
pub(crate) const SHORT_TIMEOUTS: Timeouts = Timeouts {
    answer: Duration::from_millis(800),
    idle: Duration::from_millis(200),
    backoff_min: Duration::from_millis(5),
    backoff_max: Duration::from_millis(40),
    unsupported_retry: Duration::from_millis(20),
};

/// Runs a watcher until `done` or for ten seconds.
pub(crate) fn watch_until<Api: 'static>(
    watcher: RuntimeWatcher<Api>,
    metadata: &MetadataStore,
    mut done: impl FnMut() -> bool,
) where
    RuntimeWatcher<Api>: RuntimeClient,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(watcher.at(SHORT_TIMEOUTS).watch());
        let begun = std::time::Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(10), "not done: {:?}", metadata.runtimes());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

/// Why the only runtime is not connected, once it has been queried.
pub(crate) fn reason(metadata: &MetadataStore) -> Option<String> {
    match metadata.runtimes().pop() {
        Some((_, Err(reason))) if metadata.first_listing_done() => Some(reason),
        _ => None,
    }
}

/// The response to a call.
pub(crate) enum Answer {
    /// These messages, then the end of the stream.
    Messages(Vec<Vec<u8>>),
    /// These messages, then nothing, forever.
    Open(Vec<Vec<u8>>),
    /// This message, repeated forever.
    Endless(Vec<u8>),
    /// Bytes that are not a message.
    Garbage(Vec<u8>),
    /// An error with this code.
    Refusal(u16),
    /// Nothing, forever: grpc-go also sends nothing before the first message.
    Silence,
}

/// `Unimplemented`.
pub(crate) const UNIMPLEMENTED: u16 = 12;

impl Answer {
    /// A single message.
    pub(crate) fn one(message: &impl prost::Message) -> Self {
        Self::Messages(vec![message.encode_to_vec()])
    }
}

type Answering = dyn Fn(&str, &str) -> Answer + Send + Sync;

/// The fake runtime. Dropping it removes its socket.
pub(crate) struct Peer {
    directory: tempfile::TempDir,
    calls: Arc<Mutex<Vec<String>>>,
    stop: Arc<tokio::sync::Notify>,
}

impl Peer {
    /// Creates a runtime that does not listen yet.
    pub(crate) fn absent() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), calls: Arc::default(), stop: Arc::default() }
    }

    /// Responds depending on a call's path and containerd's namespace.
    pub(crate) fn new(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let peer = Self::absent();
        peer.listen(answer);
        peer
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("runtime.sock")
    }

    /// The number of calls with a path that ends in `path`.
    pub(crate) fn calls(&self, path: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.ends_with(path)).count()
    }

    /// Closes all connections and removes the socket, as a crash would.
    pub(crate) fn crash(&self) {
        self.stop.notify_waiters();
        let _ = std::fs::remove_file(self.socket());
    }

    pub(crate) fn listen(&self, answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) {
        let listener = std::os::unix::net::UnixListener::bind(self.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (calls, stop) = (Arc::clone(&self.calls), Arc::clone(&self.stop));
        let answer: Arc<Answering> = Arc::new(answer);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                let stopped = stop.notified();
                tokio::select! { () = accept(listener, calls, answer) => (), () = stopped => () }
            });
            // Stops the connections' tasks.
            runtime.shutdown_timeout(Duration::from_millis(10));
        });
    }
}

async fn accept(listener: UnixListener, calls: Arc<Mutex<Vec<String>>>, answer: Arc<Answering>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (calls, answer) = (Arc::clone(&calls), Arc::clone(&answer));
        let service = service_fn(move |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            let namespace = request.headers().get("containerd-namespace");
            let namespace = namespace.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            calls.lock().unwrap().push(path.clone());
            let answer = answer(&path, &namespace);
            async move {
                if matches!(answer, Answer::Silence) {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(respond(answer))
            }
        });
        let serve = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(serve);
    }
}

fn respond(answer: Answer) -> Response<Feed> {
    let (sender, receiver) = mpsc::channel(4);
    let mut response = Response::new(Feed(receiver));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if let Answer::Refusal(code) = answer {
        response.headers_mut().insert("grpc-status", HeaderValue::from(code));
        return response;
    }
    tokio::spawn(async move {
        let send = async |frame| sender.send(frame).await.is_ok();
        match answer {
            Answer::Messages(messages) => {
                for message in messages {
                    send(framed(&message)).await;
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from(0u16));
                send(Frame::trailers(trailers)).await;
            }
            Answer::Open(messages) => {
                for message in messages {
                    send(framed(&message)).await;
                }
                sender.closed().await;
            }
            Answer::Endless(message) => while send(framed(&message)).await {},
            Answer::Garbage(bytes) => drop(send(Frame::data(Bytes::from(bytes))).await),
            Answer::Refusal(_) | Answer::Silence => {}
        }
    });
    response
}

/// A message with its length prefix.
fn framed(message: &[u8]) -> Frame<Bytes> {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.put_slice(message);
    Frame::data(bytes.freeze())
}

/// A body that is produced while it is sent.
struct Feed(mpsc::Receiver<Frame<Bytes>>);

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}
