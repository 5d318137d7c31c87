//! The HTTP listener: a snapshot's metrics, whether the agent is well, and a plain page. It only ever reads
//! snapshots; no request makes the agent collect anything.
//!
//! Whoever reaches the port may be hostile or broken. So connections are few and none can be held for free:
//! - beyond [`Options::max_connections`] a connection is closed at once, without an answer;
//! - a request's head must be complete, and the next one begun, within [`Options::header_timeout`], and fit
//!   16 KiB;
//! - a client that reads nothing for [`Options::write_timeout`] is cut, whatever is left of its answer;
//! - no connection outlives [`Options::connection_age`];
//! - only GET and HEAD are answered, and no body is read.
//!
//! A text is made once per snapshot and shared by all who ask for it ([`cache`]), so memory and CPU do not
//! grow with the number of scrapers.

pub mod address;
mod cache;
mod connection;
mod encoding;
mod health;
mod page;
mod routes;
mod socket;

use std::{future::Future, os::fd::AsFd as _, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{config::Config, exposition::registry::Registry, snapshot::Snapshot};

/// How long to wait after the system has refused a connection, as it does when the process is out of
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open connections may take to end when the agent does.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// The limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two snapshots; after ten without one the agent is unwell.
    pub tick: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, and to begin the next.
    pub header_timeout: Duration,
    /// How long a client may take without reading anything of an answer.
    pub write_timeout: Duration,
    /// How long a connection may last; a request then under way has [`Options::write_timeout`] to end.
    pub connection_age: Duration,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self {
            tick: config.tick,
            max_connections: config.max_connections,
            header_timeout: config.header_timeout,
            write_timeout: config.write_timeout,
            connection_age: Duration::from_secs(600),
        }
    }
}

/// Serves until `shutdown` is ready, then lets open answers end for a second.
///
/// # Errors
/// The server's own counters could not be made. Nothing that a client does is an error.
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    socket::bound_send_buffer(listener.as_fd());
    let registry = Arc::new(Registry::new()?);
    let health = Arc::new(health::Health::new(options.tick));
    let router = routes::router(snapshots.clone(), Arc::clone(&health), Arc::clone(&registry));
    let (close, closing) = watch::channel(());
    let server = Server { options, registry, router, closing };
    let mut connections = JoinSet::new();
    let watched = health::watch(&health, snapshots);
    tokio::select! {
        () = shutdown => (),
        () = watched => (),
        () = server.accept(listener, &mut connections) => (),
    }
    drop(close);
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left are cut when the set is dropped.
    let _ = timeout(END_PATIENCE, all).await;
    Ok(())
}

struct Server {
    options: Options,
    registry: Arc<Registry>,
    router: axum::Router,
    closing: watch::Receiver<()>,
}

impl Server {
    /// Takes connections, for ever. The listener is closed when this is dropped.
    async fn accept(&self, listener: TcpListener, connections: &mut JoinSet<()>) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!("accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            if connections.len() >= self.options.max_connections {
                self.registry.rejected.inc();
                continue;
            }
            self.registry.accepted.inc();
            let router = self.router.clone();
            let registry = Arc::clone(&self.registry);
            let closing = self.closing.clone();
            connections.spawn(connection::serve(stream, router, self.options.clone(), registry, closing));
        }
    }
}
