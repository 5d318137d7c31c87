//! The HTTP listener: a snapshot's metrics, whether the agent is well, and a plain page. It only ever reads
//! snapshots; no request makes the agent collect anything.
//!
//! Clients may be hostile or broken. So connections are few and none can be held for free:
//! - beyond [`Options::max_connections`] the connection that has been idle longest is closed ([`table`]); if none is
//!   idle, a new connection may only ask for health;
//! - a request's head must be complete, and the next one begun, within [`Options::header_timeout`], and fit
//!   16 KiB;
//! - a client that reads nothing for [`Options::write_timeout`], or that takes longer than
//!   [`Options::response_timeout`] for a whole response, is disconnected;
//! - clients that still read responses of earlier snapshots are disconnected when these take more than
//!   [`Options::max_unread_bytes`] ([`texts`]);
//! - no connection outlives [`Options::connection_age`];
//! - only GET and HEAD are answered, and no body is read;
//! - a loopback listener serves only requests that name this host ([`host_header`]).
//!
//! A text is made once per snapshot and shared by all clients that ask for it ([`cache`]), so memory and CPU do not
//! grow with the number of scrapers.

pub mod address;
mod body;
mod cache;
mod connection;
mod encoding;
mod health;
mod host_header;
mod page;
mod routes;
mod socket;
mod table;
mod texts;

use std::{future::Future, os::fd::AsFd as _, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{cache::Cache, connection::Shared, host_header::HostPolicy, table::Table, texts::Texts};
use crate::{config::Config, exposition::registry::Registry, snapshot::Snapshot};

/// How long to wait after the system has refused a connection, as it does when the process is out of
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open connections may take to end when the agent does.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks for texts that nobody asks for.
const TIDY_PERIOD: Duration = Duration::from_secs(10);
/// Connections that are still open although their places were given to others, at most.
const CLOSING_MAX: usize = 64;

/// The limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two snapshots; after ten without one the agent is unwell.
    pub tick: Duration,
    /// Most connections at a time, beside a few that may only ask for health.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, and to begin the next.
    pub header_timeout: Duration,
    /// How long a client may take without reading anything of a response.
    pub write_timeout: Duration,
    /// How long a response may take in all, from its request to its last byte.
    pub response_timeout: Duration,
    /// Most bytes of responses of earlier snapshots that clients have not read yet. A response that several clients
    /// read counts once.
    pub max_unread_bytes: usize,
    /// Host names that requests may name beside `localhost` and IP addresses; see [`Config::allowed_hosts`].
    pub allowed_hosts: Vec<String>,
    /// How long a connection may last; a request then under way has [`Options::write_timeout`] to end.
    pub connection_age: Duration,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self {
            tick: *config.tick_ms,
            max_connections: *config.server.max_connections,
            header_timeout: *config.server.header_timeout_ms,
            write_timeout: *config.server.write_timeout_ms,
            response_timeout: *config.server.response_timeout_ms,
            max_unread_bytes: *config.server.max_unread_bytes,
            allowed_hosts: config.server.allowed_hosts.clone(),
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
    let table = Table::new(options.max_connections);
    let texts = Texts::new(options.max_unread_bytes);
    let cache = Arc::new(Cache::new(Arc::clone(&registry), texts, Arc::clone(&table)));
    let router = routes::router(snapshots.clone(), Arc::clone(&health), Arc::clone(&cache));
    let (close, closing) = watch::channel(());
    let hosts = HostPolicy::new(listener.local_addr().ok(), &options.allowed_hosts);
    let server = Server { table, shared: Shared { router, options, hosts, registry, closing } };
    let mut connections = JoinSet::new();
    let watched = health::watch(&health, snapshots);
    let tidied = async {
        loop {
            sleep(TIDY_PERIOD).await;
            cache.forget_unused();
        }
    };
    tokio::select! {
        () = shutdown => (),
        () = watched => (),
        () = tidied => (),
        () = server.accept(listener, &mut connections) => (),
    }
    drop(close);
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left are cut when the set is dropped.
    let _ = timeout(END_PATIENCE, all).await;
    Ok(())
}

struct Server {
    table: Arc<Table>,
    shared: Shared,
}

impl Server {
    /// Takes connections, for ever. The listener is closed when this is dropped.
    async fn accept(&self, listener: TcpListener, connections: &mut JoinSet<()>) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("cannot accept a connection, trying again: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let Shared { options, registry, .. } = &self.shared;
            // Evicted connections take a moment to close.
            while connections.len() >= options.max_connections + CLOSING_MAX {
                connections.join_next().await;
            }
            let place = self.table.admit();
            let outcome =
                if place.connection.probes_only { &registry.probes_only } else { &registry.accepted };
            outcome.inc();
            connections.spawn(connection::serve(stream, place, self.shared.clone()));
        }
    }
}
