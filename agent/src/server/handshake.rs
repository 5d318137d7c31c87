//! TLS handshakes. Each has [`Options::header_timeout`](super::Options::header_timeout), and its connection counts as idle,
//! so a client that stops in the middle is disconnected like one that sends no request.

use std::{io, pin::Pin, time::Duration};

use prometheus::IntCounter;
use tokio::{net::TcpStream, time::timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use crate::exposition::registry::Registry;

/// A connection, with timeouts for each read and write.
pub(super) type Socket = Pin<Box<TimeoutStream<TcpStream>>>;
/// A connection on which HTTP can be served.
pub(super) type Stream = Either<Socket, TlsStream<Socket>>;

/// Performs the handshake if there is TLS. A failure is counted; it is the client's problem.
pub(super) async fn perform(
    tls: Option<TlsAcceptor>,
    socket: Socket,
    limit: Duration,
    registry: &Registry,
) -> Option<Stream> {
    let Some(acceptor) = tls else { return Some(Either::Left(socket)) };
    match timeout(limit, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => Some(Either::Right(stream)),
        Ok(Err(error)) => {
            counter(&error, registry).inc();
            tracing::debug!("TLS handshake: {error}");
            None
        }
        Err(_) => {
            registry.handshake_timeout.inc();
            None
        }
    }
}

/// The counter of a failed handshake.
fn counter<'a>(error: &io::Error, registry: &'a Registry) -> &'a IntCounter {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(NoCertificatesPresented | InvalidCertificate(_)) => &registry.handshake_client_certificate,
        Some(AlertReceived(_)) => &registry.handshake_rejected,
        Some(_) => &registry.handshake_protocol,
        None => &registry.handshake_disconnected,
    }
}
