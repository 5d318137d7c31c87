//! The HTTP listener: metrics, health and a status page. It only reads snapshots; a request never triggers a reading.
//!
//! Clients may be hostile or broken, so connections are limited in number and time:
//! - above [`Options::max_connections`], the connection that has been idle longest is closed ([`table`]); if none is
//!   idle, a new connection may only request health and readiness;
//! - with TLS, a client must finish the handshake within [`Options::header_timeout`] ([`handshake`]);
//! - a client must send the head of a request, and start the next one, within [`Options::header_timeout`]; a head must
//!   not exceed 16 KiB;
//! - a client is disconnected if it reads nothing for [`Options::write_timeout`], or takes longer than
//!   [`Options::response_timeout`] for a whole response;
//! - clients that still read responses of earlier snapshots are disconnected if these responses exceed
//!   [`Options::max_unread_bytes`] ([`texts`]);
//! - no connection lasts longer than [`Options::connection_age`];
//! - only GET and HEAD are supported, and no request body is read;
//! - a loopback listener serves only requests whose `Host` is this host ([`host_header`]);
//! - with users in the web configuration, every request except health and readiness needs a password ([`admission`],
//!   [`authentication`]).
//!
//! Each response text is made once per snapshot and shared by all clients that request it ([`cache`]), so memory and
//! CPU do not grow with the number of scrapers.

pub mod address;
pub mod admission;
mod api;
mod authentication;
mod body;
mod cache;
mod connection;
mod container_health;
mod encoding;
pub mod exposure;
mod handshake;
mod health;
mod host_header;
mod page;
mod routes;
mod socket;
mod table;
mod texts;
pub mod web;

use std::{
    future::{Future, pending},
    os::fd::AsFd as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{
    admission::Admission, authentication::Authenticator, cache::Cache, connection::Shared,
    host_header::HostPolicy, table::Table, texts::Texts, web::Web,
};
use crate::{config::Config, exposition::registry::Registry, snapshot::Snapshot};

/// The header `Server` of every response. `glassbox check` recognizes a running agent by it.
pub const NAME: &str = "glassbox";
/// Pause after accept(2) has failed, for example because the process has no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Timeout for open connections when the agent ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);
/// Period of the check for unused texts.
const TIDY_PERIOD: Duration = Duration::from_secs(10);
/// Maximum number of evicted connections that have not closed yet.
const CLOSING_MAX: usize = 64;

/// The limits of the listener.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two snapshots. After ten ticks without a snapshot, the agent is unhealthy.
    pub tick: Duration,
    /// Maximum number of concurrent connections, without the few that may only request health and readiness.
    pub max_connections: usize,
    /// Timeout for a client to send the head of a request, and to start the next request.
    pub header_timeout: Duration,
    /// Timeout for a client that reads nothing of a response.
    pub write_timeout: Duration,
    /// Timeout for a whole response, from the request to the last byte.
    pub response_timeout: Duration,
    /// Maximum number of bytes of responses of earlier snapshots that clients have not read yet. A response that
    /// several clients read counts once.
    pub max_unread_bytes: usize,
    /// Host names that requests may use in addition to `localhost` and IP addresses; see
    /// [`allowed_hosts`](crate::config::Server::allowed_hosts).
    pub allowed_hosts: Vec<String>,
    /// Maximum age of a connection. A request in progress at that time has [`Options::write_timeout`] to finish.
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

/// Serves until `shutdown` resolves, then gives open connections [`SHUTDOWN_TIMEOUT`] to finish. New `options` apply to new
/// connections; the host names and [`Options::max_unread_bytes`] also to open ones. `tick` and `connection_age` are those of
/// the start.
///
/// # Errors
/// The server's own metrics could not be registered, or the system has no random numbers. No client can cause an error.
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    mut options: watch::Receiver<Options>,
    web: Web,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let current = options.borrow_and_update().clone();
    socket::bound_send_buffer(listener.as_fd());
    let registry = Arc::new(Registry::new()?);
    let health = Arc::new(health::Health::new(current.tick));
    let table = Table::new();
    let texts = Texts::new(current.max_unread_bytes);
    let cache = Arc::new(Cache::new(Arc::clone(&registry), Arc::clone(&texts), Arc::clone(&table)));
    let router = routes::router(snapshots.clone(), Arc::clone(&health), Arc::clone(&cache));
    let (close, closing) = watch::channel(());
    let address = listener.local_addr().ok();
    let hosts = Mutex::new(Arc::new(HostPolicy::new(address, &current.allowed_hosts)));
    let web = Arc::new(web);
    let reloaded = web::watch(Arc::clone(&web), Arc::clone(&registry));
    let authenticator = Authenticator::new()?;
    let admission = Arc::new(Admission { hosts, web, authenticator, registry: Arc::clone(&registry) });
    let shared = Shared { router, options: current, admission: Arc::clone(&admission), registry, closing };
    let server = Server { table, options: options.clone(), shared };
    let reconfigured = async {
        while options.changed().await.is_ok() {
            let new = options.borrow_and_update().clone();
            texts.limit(new.max_unread_bytes);
            admission.set_hosts(HostPolicy::new(address, &new.allowed_hosts));
        }
        // The sender is gone, so the options do not change any more.
        pending::<()>().await;
    };
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
        () = reloaded => (),
        () = reconfigured => (),
        () = server.accept(listener, &mut connections) => (),
    }
    drop(close);
    let all = async { while connections.join_next().await.is_some() {} };
    // Dropping the set closes the remaining connections.
    let _ = timeout(SHUTDOWN_TIMEOUT, all).await;
    Ok(())
}

struct Server {
    table: Arc<Table>,
    /// The current options. Those in `shared` are copied for each connection.
    options: watch::Receiver<Options>,
    shared: Shared,
}

impl Server {
    /// Accepts connections and never returns. Dropping the future closes the listener.
    async fn accept(&self, listener: TcpListener, connections: &mut JoinSet<()>) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("cannot accept a connection, retrying: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let registry = &self.shared.registry;
            let options = self.options.borrow().clone();
            // Evicted connections take a moment to close.
            while connections.len() >= options.max_connections + CLOSING_MAX {
                connections.join_next().await;
            }
            let place = self.table.admit(options.max_connections);
            let outcome =
                if place.connection.probes_only { &registry.probes_only } else { &registry.accepted };
            outcome.inc();
            connections.spawn(connection::serve(stream, place, Shared { options, ..self.shared.clone() }));
        }
    }
}
