//! A server in this process, and its snapshots.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use glassbox::{
    server::{self, Options, web::Web},
    snapshot::{
        ContainerRow, Snapshot,
        agent::AgentUsage,
        identity::Identity,
        scheduler::{Histogram, SchedulerCounters},
    },
};
use glassbox_fixtures::host::{self, numbered};
use tokio::sync::{oneshot, watch};

use super::client;

/// Limits that take effect within a second, so that tests are fast.
pub(crate) fn options() -> Options {
    Options {
        tick: Duration::from_millis(500),
        max_connections: 64,
        header_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(30),
        max_unread_bytes: 64 << 20,
        allowed_hosts: Vec::new(),
        connection_age: Duration::from_secs(60),
    }
}

/// A server that stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    configure: watch::Sender<Options>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// Starts a server without a snapshot.
    pub(crate) fn start(options: Options) -> Self {
        Self::start_with(options, Web::none())
    }

    /// Starts a server with a web configuration and without a snapshot.
    pub(crate) fn start_with(options: Options, web: Web) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (publish, snapshots) = watch::channel(None);
        let (configure, options) = watch::channel(options);
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(server::serve(listener, snapshots, options, web, async {
            let _ = stopped.await;
        }));
        Self { address, publish, configure, stop: Some(stop), served, runtime: Some(runtime) }
    }

    /// Starts a server with a snapshot of this many containers.
    pub(crate) fn with(containers: usize, options: Options) -> Self {
        let server = Self::start(options);
        server.publish(snapshot(containers));
        server
    }

    /// Changes the options, as a reload of the configuration does.
    pub(crate) fn configure(&self, options: Options) {
        self.configure.send_replace(options);
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.publish.send_replace(Some(Arc::new(snapshot)));
    }

    /// The current value of one of the server's own counters.
    pub(crate) fn counter(&self, series: &str) -> f64 {
        let last = self.publish.borrow().clone().unwrap();
        // The text of a snapshot is cached, so current counters need a new snapshot.
        self.publish(Snapshot::clone(&last));
        let text = client::get(self.address, "/metrics").text();
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.expect(series).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Stops the server and waits for its end.
    pub(crate) fn end(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let runtime = self.runtime.take().unwrap();
        runtime.block_on(&mut self.served).unwrap().unwrap();
        runtime.shutdown_background();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn snapshot(containers: usize) -> Snapshot {
    let agent = AgentUsage { ticks: 1, containers_running: containers, ..AgentUsage::default() };
    let containers = (0..containers).map(row).collect();
    Snapshot { taken_at: SystemTime::now(), agent, ..host::snapshot(containers) }
}

/// A container with little text. Tests of slow clients depend on the size of the text of a number of containers.
fn row(number: usize) -> ContainerRow {
    // The tag must be escaped on the page.
    let identity = Identity { image: "facefusion/facefusion:3.5.0-cuda<script>".into(), ..numbered(number) };
    let mut row = ContainerRow::new(Arc::new(identity), SystemTime::now());
    row.cgroup.memory.rss_bytes = Some(1 << 30);
    row.scheduler = Some(Box::new(SchedulerCounters {
        oncpu_ns: 1,
        voluntary_switches: 2,
        involuntary_switches: 3,
        waits: Histogram { sum_ns: 4, buckets: [5; glassbox_ebpf::histogram::BUCKETS] },
    }));
    row
}
