//! Serves one connection within the limits.

use std::{
    convert::Infallible,
    os::fd::{AsRawFd as _, BorrowedFd},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use axum::http::{
    HeaderValue,
    header::{DATE, SERVER},
};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus::IntCounter;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;

use super::{
    NAME, Options,
    admission::Admission,
    body::HeldBody,
    handshake, socket,
    table::{Eviction, PROBE_LIFETIME, Place},
    texts::TextId,
};
use crate::exposition::registry::Registry;

/// Maximum size of the head of a request.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// State shared by all connections.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) router: axum::Router,
    pub(super) options: Options,
    pub(super) admission: Arc<Admission>,
    pub(super) registry: Arc<Registry>,
    /// Changes when the server ends.
    pub(super) closing: watch::Receiver<()>,
}

/// Why a connection ends.
enum End {
    /// It ended by itself, or during the graceful shutdown; `None` if the graceful shutdown timed out.
    Own(Option<hyper::Result<()>>),
    /// A response exceeded its timeout.
    Overdue,
    /// It was evicted.
    Evicted(Eviction),
}

/// Serves a connection until it ends, is evicted, exceeds a timeout or its maximum age, or the server ends.
pub(super) async fn serve(stream: TcpStream, place: Place, shared: Shared) {
    let Shared { router, options, admission, registry, mut closing } = shared;
    let _open = Open::new(&registry);
    // A response is one or a few large writes. Without TCP_NODELAY, the last part would wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let descriptor = stream.as_raw_fd();
    let client = stream.peer_addr().ok().map(|address| address.ip());
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_timeout));
    let state = &place.connection;
    let probes_only = state.probes_only;
    let lifetime = if probes_only { PROBE_LIFETIME } else { options.connection_age };
    let header_timeout = options.header_timeout.min(lifetime);
    let acceptor = admission.web.settings().tls.as_ref().map(|tls| tls.acceptor.clone());
    let stream = tokio::select! {
        stream = handshake::perform(acceptor, Box::pin(stream), header_timeout, &registry) => stream,
        reason = state.evicted() => return evictions(&registry, reason).inc(),
        _ = closing.changed() => return,
    };
    let Some(stream) = stream else { return };
    let answered = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&answered);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        answers.store(true, Ordering::Relaxed);
        let responding = state.begin();
        let (router, admission) = (router.clone(), Arc::clone(&admission));
        async move {
            let (head, body) = request.into_parts();
            let head = Request::from_parts(head, ());
            let mut response = match admission.refusal(&head, probes_only, client).await {
                Some(refused) => refused,
                None => router.call(head.map(|()| body)).await?,
            };
            if let Some(text) = response.extensions().get::<TextId>() {
                responding.sends(*text);
            }
            let headers = response.headers_mut();
            headers.insert(SERVER, HeaderValue::from_static(NAME));
            for (name, value) in &admission.web.settings().headers {
                headers.insert(name, value.clone());
            }
            if let Some(date) = date(SystemTime::now()) {
                headers.insert(DATE, date);
            }
            Ok::<_, Infallible>(response.map(|body| HeldBody::new(body, responding)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper panics if the clock is before 1970, so `date` sets the header instead.
        .auto_date_header(false)
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_MAX_BYTES)
        .keep_alive(!probes_only)
        // A client that closes its sending side after the request still gets the response.
        .half_close(true)
        // Vectored writes send the shared text without copying it for each client.
        .writev(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let end = {
        let leave = async {
            tokio::select! { () = sleep(lifetime) => (), _ = closing.changed() => () }
        };
        let own = async {
            tokio::select! {
                ended = connection.as_mut() => return Some(ended),
                () = leave => {}
            }
            connection.as_mut().graceful_shutdown();
            timeout(options.write_timeout.min(lifetime), connection.as_mut()).await.ok()
        };
        tokio::select! {
            ended = own => End::Own(ended),
            () = state.overdue(options.response_timeout) => End::Overdue,
            reason = state.evicted() => End::Evicted(reason),
        }
    };
    let cut = match end {
        End::Own(Some(Ok(()))) => return,
        // No further request on a keep-alive connection: the usual end of a connection.
        End::Own(Some(Err(error))) if error.is_timeout() && answered.load(Ordering::Relaxed) => return,
        End::Own(Some(Err(error))) if error.is_timeout() => &registry.request_timeouts,
        End::Own(Some(Err(error))) if !is_write_timeout(&error) => {
            // All other client errors are not the agent's problem.
            return tracing::debug!("serve a connection: {error}");
        }
        End::Own(_) | End::Overdue => &registry.response_timeouts,
        End::Evicted(reason) => evictions(&registry, reason),
    };
    cut.inc();
    // SAFETY: the descriptor belongs to the stream in `connection`, which is pinned here and not dropped yet.
    socket::reset_on_close(unsafe { BorrowedFd::borrow_raw(descriptor) });
}

/// The counter of evictions for this reason.
fn evictions(registry: &Registry, reason: Eviction) -> &IntCounter {
    match reason {
        Eviction::Idle => &registry.evicted_idle,
        Eviction::Slow => &registry.evicted_slow,
        Eviction::Unread => &registry.evicted_unread,
    }
}

/// Counts a connection as open until it is dropped, even after a panic.
struct Open(prometheus::IntGauge);

impl Open {
    fn new(registry: &Registry) -> Self {
        registry.connections.inc();
        Self(registry.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The header `Date`; `None` if HTTP cannot represent the time.
fn date(now: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000_S: u64 = 253_402_300_800;
    #[expect(
        clippy::disallowed_methods,
        reason = "not an age: checks whether the timestamp can be formatted"
    )]
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let expressible = since_1970.as_secs() < YEAR_10000_S;
    expressible.then(|| HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok()).flatten()
}

/// True if the write timeout of the stream ended the connection.
fn is_write_timeout(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_that_http_cannot_represent_gives_no_date() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(date(epoch).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(date(epoch + Duration::from_secs(253_402_300_799)).is_some());
        for impossible in [epoch - Duration::from_nanos(1), epoch + Duration::from_secs(253_402_300_800)] {
            assert_eq!(date(impossible), None);
        }
    }
}
