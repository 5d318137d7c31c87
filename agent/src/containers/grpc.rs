//! gRPC over a unix socket, as much of it as asking a runtime takes: one HTTP/2 connection per runtime, questions with one
//! answer, and streams of answers. Messages are declared where they are used, with the fields that are read; whatever
//! else a runtime sends is skipped. So neither `protoc` nor a thousand generated types are needed.
//!
//! Nothing is unbounded: a message's size is checked before it is read, and its lists and maps are cut while it is
//! ([`bounded`]); little is buffered ahead ([`WINDOW_BYTES`]), and
//! the peer is pinged, so that one that hangs is noticed within [`PING_PERIOD`] and [`PING_PATIENCE`]. Two connections to
//! one containerd cost the agent 0.5 MB of memory, 0.1 of that on the heap, and no CPU time that could be measured.

pub(super) mod bounded;

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::UnixStream, task::JoinHandle};
use tonic::{Status, Streaming, body::Body, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;
use tower::Service;

use super::peer_trust::{self, Trust};

/// Most bytes of one answer; a listing of a thousand containers with many annotations has some 4 MB.
const ANSWER_BYTES: usize = 32 << 20;
/// Most bytes of one message of a stream; it carries all labels and annotations of a pod's containers.
const EVENT_BYTES: usize = 1 << 20;
/// Most bytes of events that are kept while a listing is under way; what comes later waits with the peer.
pub(super) const EARLY_BYTES: usize = 4 << 20;
/// What keeping an event takes beside its own bytes.
pub(super) const EVENT_COST_BYTES: usize = 512;
/// Bytes that the peer may send ahead of being read, per answer.
const WINDOW_BYTES: u32 = 128 << 10;
const PING_PERIOD: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// containerd's header for the namespace that a question is about.
const NAMESPACE: &str = "containerd-namespace";

/// A connection's near end.
pub struct Client {
    connection: Connection,
    trust: Trust,
}

/// Whether a connection still stands. When dropped, it does not.
pub struct Standing(JoinHandle<hyper::Result<()>>);

impl Client {
    /// Connects. Takes no longer than the peer needs to accept.
    ///
    /// # Errors
    /// Why not, with the socket.
    pub async fn connect(socket: &Path) -> anyhow::Result<(Self, Standing)> {
        let connect = || format!("connect to {}", socket.display());
        let stream = UnixStream::connect(socket).await.with_context(connect)?;
        let trust = peer_trust::of(&stream);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2)
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_PATIENCE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .with_context(connect)?;
        Ok((Self { connection: Connection(sender), trust }, Standing(tokio::spawn(connection))))
    }

    /// One question, one answer. `path` is that of the call: `/package.Service/Method`.
    ///
    /// # Errors
    /// The peer's refusal, or what went wrong on the way to it.
    pub async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ask_in(path, None, question).await
    }

    /// The same about one of containerd's namespaces.
    ///
    /// # Errors
    /// The peer's refusal, or what went wrong on the way to it.
    pub async fn ask_in<Q, A>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: Q,
    ) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = hyper::http::uri::PathAndQuery::from_static(path);
        let request = request(namespace, question)?;
        let mut grpc = self.grpc(ANSWER_BYTES);
        ready(&mut grpc).await?;
        Ok(grpc.unary(request, path, ProstCodec::default()).await?.into_inner())
    }

    /// One question, a stream of answers. Many servers send nothing at all until there is a first answer, and this
    /// does not return before. `namespace` is containerd's, where it asks for one.
    ///
    /// # Errors
    /// The peer's refusal, or what went wrong on the way to it.
    pub async fn follow<Q, A>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        question: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = hyper::http::uri::PathAndQuery::from_static(path);
        let request = request(namespace, question)?;
        let mut grpc = self.grpc(EVENT_BYTES);
        ready(&mut grpc).await?;
        Ok(grpc.server_streaming(request, path, ProstCodec::default()).await?.into_inner())
    }

    fn grpc(&self, most_bytes: usize) -> Grpc<Connection> {
        // The peer is known by its socket; HTTP/2 wants a name all the same.
        Grpc::with_origin(self.connection.clone(), Uri::from_static("http://localhost"))
            .max_decoding_message_size(self.trust.limit(most_bytes))
    }
}

/// True where the peer does not know the call, as opposed to one that failed.
pub(super) fn is_unimplemented(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == tonic::Code::Unimplemented)
}

impl Standing {
    /// Resolves when the connection has ended, and tells why.
    pub async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.0).await {
            Ok(Err(error)) => anyhow::Error::new(error).context("the connection ended"),
            _ => anyhow::anyhow!("the connection ended"),
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request<Q>(namespace: Option<&str>, question: Q) -> Result<tonic::Request<Q>, Status> {
    let mut request = tonic::Request::new(question);
    if let Some(namespace) = namespace {
        let value = MetadataValue::try_from(namespace)
            .map_err(|_| Status::invalid_argument("a namespace that is no header"))?;
        request.metadata_mut().insert(NAMESPACE, value);
    }
    Ok(request)
}

async fn ready(grpc: &mut Grpc<Connection>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))
}

/// hyper's connection, as tonic wants it.
#[derive(Clone)]
struct Connection(http2::SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

#[cfg(test)]
pub(super) mod test_server;
