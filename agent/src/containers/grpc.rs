//! A minimal gRPC client for runtimes over a Unix socket: one HTTP/2 connection per runtime, unary calls and server
//! streaming. Messages are declared next to their use, with only the fields that are read; all other fields are
//! skipped. So the build needs neither `protoc` nor a thousand generated types.
//!
//! Everything is bounded: the size of a message is checked before it is read, lists and maps are truncated during
//! decoding ([`bounded`]), and little is buffered ([`WINDOW_BYTES`]). Pings detect a hanging peer within
//! [`PING_PERIOD`] plus [`PING_TIMEOUT`]. Two connections to one containerd cost the agent 0.5 MB of memory, 0.1 MB of
//! that on the heap, and no measurable CPU time.

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

/// Maximum size of one response. A listing of a thousand containers with many annotations has some 4 MB.
const ANSWER_BYTES: usize = 32 << 20;
/// Maximum size of one message of a stream. It contains all labels and annotations of a pod's containers.
const EVENT_BYTES: usize = 1 << 20;
/// Bytes of one response that the peer may send before they are read.
const WINDOW_BYTES: u32 = 128 << 10;
const PING_PERIOD: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// containerd's header for the namespace of a request.
const NAMESPACE: &str = "containerd-namespace";

/// The client side of a connection.
pub struct Client {
    connection: Connection,
    trust: Trust,
}

/// Guards a connection: resolves when the connection ends, and closes the connection when dropped.
pub struct ConnectionGuard(JoinHandle<hyper::Result<()>>);

impl Client {
    /// Connects. Takes no longer than the peer needs to accept.
    ///
    /// # Errors
    /// If the connection fails; the error contains the socket.
    pub async fn connect(socket: &Path) -> anyhow::Result<(Self, ConnectionGuard)> {
        let connect = || format!("connect to {}", socket.display());
        let stream = UnixStream::connect(socket).await.with_context(connect)?;
        let trust = peer_trust::of(&stream);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2)
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .with_context(connect)?;
        Ok((Self { connection: Connection(sender), trust }, ConnectionGuard(tokio::spawn(connection))))
    }

    /// Sends a request and awaits the response. `path` is the path of the call: `/package.Service/Method`.
    ///
    /// # Errors
    /// If the peer rejects the request, or if the transport fails.
    pub async fn ask<Q, A>(&self, path: &'static str, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ask_in(path, None, message).await
    }

    /// Does the same in one of containerd's namespaces.
    ///
    /// # Errors
    /// If the peer rejects the request, or if the transport fails.
    pub async fn ask_in<Q, A>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        message: Q,
    ) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = hyper::http::uri::PathAndQuery::from_static(path);
        let request = request(namespace, message)?;
        let mut grpc = self.grpc(ANSWER_BYTES);
        ready(&mut grpc).await?;
        Ok(grpc.unary(request, path, ProstCodec::default()).await?.into_inner())
    }

    /// Sends a request and returns the stream of responses. Many servers send nothing at all until they have a first
    /// response, and this call does not return before that. `namespace` is containerd's, if it needs one.
    ///
    /// # Errors
    /// If the peer rejects the request, or if the transport fails.
    pub async fn follow<Q, A>(
        &self,
        path: &'static str,
        namespace: Option<&str>,
        message: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = hyper::http::uri::PathAndQuery::from_static(path);
        let request = request(namespace, message)?;
        let mut grpc = self.grpc(EVENT_BYTES);
        ready(&mut grpc).await?;
        Ok(grpc.server_streaming(request, path, ProstCodec::default()).await?.into_inner())
    }

    fn grpc(&self, most_bytes: usize) -> Grpc<Connection> {
        // The socket identifies the peer, but HTTP/2 needs a host name.
        Grpc::with_origin(self.connection.clone(), Uri::from_static("http://localhost"))
            .max_decoding_message_size(self.trust.limit(most_bytes))
    }
}

/// True if the peer does not implement the call, as opposed to a failed call.
pub(super) fn is_unimplemented(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == tonic::Code::Unimplemented)
}

impl ConnectionGuard {
    /// Resolves when the connection has ended, with the reason.
    pub async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.0).await {
            Ok(Err(error)) => anyhow::Error::new(error).context("the connection ended"),
            _ => anyhow::anyhow!("the connection ended"),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request<Q>(namespace: Option<&str>, message: Q) -> Result<tonic::Request<Q>, Status> {
    let mut request = tonic::Request::new(message);
    if let Some(namespace) = namespace {
        let value = MetadataValue::try_from(namespace)
            .map_err(|_| Status::invalid_argument("the namespace is not a valid header value"))?;
        request.metadata_mut().insert(NAMESPACE, value);
    }
    Ok(request)
}

async fn ready(grpc: &mut Grpc<Connection>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))
}

/// Adapts hyper's connection to tonic.
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
