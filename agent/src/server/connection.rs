//! One connection, from its first request to its end, within the limits.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;

use super::{Options, socket};
use crate::exposition::registry::Registry;

/// The longest head of a request.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Serves a connection until it ends, is cut, or is too old, or until the sender of `closing` is dropped.
pub(super) async fn serve(
    stream: TcpStream,
    router: axum::Router,
    options: Options,
    registry: Arc<Registry>,
    mut closing: watch::Receiver<()>,
) {
    let _open = Open::new(&registry);
    // An answer is one or few large writes; without it the last part would wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let descriptor = stream.as_raw_fd();
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_timeout));
    let answered = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&answered);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        answers.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(HEAD_MAX_BYTES)
        // The shared text goes to the socket as it is; flattened writes would copy it for each client.
        .writev(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let leave = async {
        tokio::select! { () = sleep(options.connection_age) => (), _ = closing.changed() => () }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = leave => {
            connection.as_mut().graceful_shutdown();
            timeout(options.write_timeout, connection.as_mut()).await.ok()
        }
    };
    let cut = match ended {
        Some(Ok(())) => return,
        // Kept open for another request, and none came: that is how most connections end.
        Some(Err(error)) if error.is_timeout() && answered.load(Ordering::Relaxed) => return,
        Some(Err(error)) if error.is_timeout() => &registry.request_timeouts,
        Some(Err(error)) if !is_write_timeout(&error) => {
            // Whatever else a client did wrong is its own affair.
            return tracing::debug!("serve a connection: {error}");
        }
        _ => &registry.response_timeouts,
    };
    cut.inc();
    // SAFETY: the descriptor is that of the stream in `connection`, which is pinned here and not dropped yet.
    socket::reset_on_close(unsafe { BorrowedFd::borrow_raw(descriptor) });
}

/// Counts a connection for as long as it lives, also where it is cut or panics.
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

/// True where the stream's own timer cut the connection.
fn is_write_timeout(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}
