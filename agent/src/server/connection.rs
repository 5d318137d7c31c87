//! One connection, from its first request to its end, within the limits.

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

use axum::http::{HeaderValue, header::DATE};
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
        let answer = router.call(request);
        async move {
            let mut answer = answer.await?;
            if let Some(date) = date(SystemTime::now()) {
                answer.headers_mut().insert(DATE, date);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper's own panics if the clock shows a time before 1970: see `date`.
        .auto_date_header(false)
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

/// The header `Date`; `None` if the clock shows a time that HTTP has no form for.
fn date(now: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000_S: u64 = 253_402_300_800;
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let expressible = since_1970.as_secs() < YEAR_10000_S;
    expressible.then(|| HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok()).flatten()
}

/// True where the stream's own timer cut the connection.
fn is_write_timeout(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_http_has_no_form_for_gives_no_date() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(date(epoch).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(date(epoch + Duration::from_secs(253_402_300_799)).is_some());
        for impossible in [epoch - Duration::from_nanos(1), epoch + Duration::from_secs(253_402_300_800)] {
            assert_eq!(date(impossible), None);
        }
    }
}
