//! HTTP over Docker's unix socket, a connection per question, and no answer of unbounded size: bollard
//! gathers a whole answer, or a whole line of the event stream, before it looks at it.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error};
use hyper::{
    Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::Notify,
};

/// Most bytes of one answer; a listing of a thousand containers has some 2 MB.
const ANSWER_BYTES: usize = 32 << 20;
/// Most bytes between two events; an event carries all labels of its container.
const EVENT_BYTES: usize = 1 << 20;
/// Bollard's own timeout of an answer's head. Ours, which is for the whole answer, comes first.
const HEAD_TIMEOUT_S: u64 = 60;

/// How many more bytes may be read.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    left: Arc<AtomicUsize>,
    full: usize,
}

impl Allowance {
    fn new(full: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(full)), full }
    }

    pub(super) fn refill(&self) {
        self.left.store(self.full, Ordering::Relaxed);
    }

    /// Only the connection takes and only the reader of events refills; a lost update is an early or a late
    /// refill.
    fn take(&self, bytes: usize) -> io::Result<()> {
        match self.left.load(Ordering::Relaxed).checked_sub(bytes) {
            Some(left) => {
                self.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => Err(io::Error::other(format!("the answer has more than {} bytes", self.full))),
        }
    }
}

/// A client for the event stream.
pub(super) struct Client {
    pub(super) docker: Docker,
    /// To be refilled at each event.
    pub(super) allowance: Allowance,
    /// Notified when the head of an answer has come: the daemon has taken the subscription.
    pub(super) answered: Arc<Notify>,
}

pub(super) fn events(socket: &Path) -> Result<Client, Error> {
    let allowance = Allowance::new(EVENT_BYTES);
    let answered = Arc::new(Notify::new());
    let transport = {
        let (socket, allowance, answered) = (socket.to_owned(), allowance.clone(), Arc::clone(&answered));
        move |request| {
            let (socket, allowance, answered) = (socket.clone(), allowance.clone(), Arc::clone(&answered));
            async move {
                let response = exchange(socket, request, allowance).await?;
                answered.notify_one();
                Ok(response)
            }
        }
    };
    Ok(Client { docker: client(transport)?, allowance, answered })
}

/// A client for everything else.
pub(super) fn questions(socket: &Path) -> Result<Docker, Error> {
    let socket = socket.to_owned();
    client(move |request| exchange(socket.clone(), request, Allowance::new(ANSWER_BYTES)))
}

fn client<Answer>(
    transport: impl Fn(BollardRequest) -> Answer + Send + Sync + 'static,
) -> Result<Docker, Error>
where
    Answer: Future<Output = Result<Response<Incoming>, Error>> + Send + 'static,
{
    Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        HEAD_TIMEOUT_S,
        API_DEFAULT_VERSION,
    )
}

async fn exchange(
    socket: PathBuf,
    mut request: BollardRequest,
    allowance: Allowance,
) -> Result<Response<Incoming>, Error> {
    let stream = UnixStream::connect(&socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(Bounded { stream, allowance })).await?;
    // Ends with the answer, or when it is no longer wanted. What goes wrong shows in the answer.
    tokio::spawn(connection);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    *request.uri_mut() = target.parse::<Uri>().map_err(hyper::http::Error::from)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    Ok(sender.send_request(request).await?)
}

/// A socket that stops when its allowance is used up.
struct Bounded {
    stream: UnixStream,
    allowance: Allowance,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.allowance.take(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
