//! Requests over HTTP/1.1 that containers serve: counts, durations, sizes, streams of events.
//!
//! Kernel half: agent-ebpf/src/probes/requests.rs, called by the programs of the collector `sockets`, without which this
//! collector cannot work. A request arrives when its first byte reaches the host, so the time that it waits in the
//! server's socket counts. The end of a response is its last byte on its way to the network, not its receipt.
//!
//! TLS, HTTP/2 and upgraded connections are counted as such, and their requests are not. Linux 5.10.
//!
//! Cost: see docs/overhead.md; per tick one read of all connections (0.1 µs each) and one map lookup of 11 KiB per
//! container that serves requests.

mod ended;
pub mod gradio;
mod now;
mod ports;
mod routes;
mod slow;
mod uploads;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use glassbox_ebpf::{
    maps, programs,
    requests::{
        connection::{Connection, ConnectionKey},
        first_line::Method,
        piece::Piece,
        retries::Recent,
        route::ROUTES,
        service::{PORTS, RESPONSES, RequestCounters, RequestSettings, Service, response_index},
    },
};

use self::{
    ended::EndedConnections,
    gradio::JobTracker,
    now::{Connections, Now},
    routes::Names,
    slow::SlowRequests,
    uploads::UploadReader,
};
use super::{Collector, Context, Spec, examination};
use crate::{
    config::{Config, FunctionName},
    containers::tracker::Container,
    kernel::{
        Kernel, batch::BatchMap, event_ring::EventRing, host, slot_array::SharedSlotArray,
        tail_calls::TailCalls,
    },
    snapshot::{
        ContainerRow,
        jobs::Jobs,
        requests::{CODE_CLASSES, RequestUsage, ResponseCount},
    },
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "requests",
    summary: "requests over HTTP/1.1 that containers serve, streams, jobs of Gradio, from the packets (cgroup_skb, tail calls)",
    capabilities: &[],
    needs: &["sockets"],
    start,
    examine: examination::of_start,
};

/// The program arrays, each with its program.
pub const PROGRAMS: [(&str, &str); 2] =
    [(maps::REQUEST_INGRESS, programs::REQUESTS_INGRESS), (maps::REQUEST_EGRESS, programs::REQUESTS_EGRESS)];

/// Time after which pieces are read if no tick has read them: the ring buffer has room for some 3,400.
const PIECES_PERIOD: Duration = Duration::from_millis(1500);
/// Maximum number of pieces that are handled at once, so that a container that sends many does not delay a tick.
const PIECES_PER_TURN: usize = 4096;

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let config = context.config.requests.clone();
    let kernel = context.kernel()?;
    let programs = kernel.enter_tail_calls(&PROGRAMS)?;
    let (routes, names) = routes::routes(&config.routes, config.upload_images);
    let mut settings: aya::maps::Array<aya::maps::MapData, RequestSettings> =
        kernel.take_map(maps::REQUEST_SETTINGS)?;
    settings.set(0, RequestSettings { all_ports: u64::from(config.ports.is_empty()), routes }, 0)?;
    Ok(Box::new(Requests {
        _programs: programs,
        counters: kernel.shared_slot_array(maps::REQUESTS)?,
        services: kernel.shared_slot_array(maps::REQUEST_SERVICES)?,
        recent: kernel.shared_slot_array(maps::REQUEST_RECENT)?,
        connections: kernel.batch_map(maps::REQUEST_CONNECTIONS)?,
        ports: config.ports,
        unlisted: HashMap::new(),
        names,
        now: Connections::default(),
        now_ns: 0,
        ended: EndedConnections::default(),
        pieces: kernel.event_ring(maps::REQUEST_PIECES, piece)?,
        pieces_read: Instant::now(),
        slow: SlowRequests::new(kernel.event_ring(maps::REQUEST_SLOW, slow::record)?),
        uploads: UploadReader::new(kernel.event_ring(maps::REQUEST_UPLOADS, uploads::start)?),
        jobs: JobTracker::new(),
        functions: config.functions,
        lost: [("gradio_jobs", 0), ("slow_requests", 0)],
        error: None,
    }))
}

struct Requests {
    _programs: TailCalls,
    counters: SharedSlotArray<RequestCounters>,
    services: SharedSlotArray<Service>,
    recent: SharedSlotArray<Recent>,
    connections: BatchMap<ConnectionKey, Connection>,
    /// The configured ports; empty for all.
    ports: Vec<u16>,
    /// The watched ports of each slot that had neither a listener nor a connection at the last tick.
    unlisted: HashMap<u32, Vec<u16>>,
    names: Names,
    /// What the connections do now.
    now: Connections,
    /// When the connections were read, in ns of CLOCK_MONOTONIC.
    now_ns: u64,
    ended: EndedConnections,
    pieces: EventRing<Piece>,
    pieces_read: Instant,
    slow: SlowRequests,
    uploads: UploadReader,
    jobs: JobTracker,
    functions: Vec<FunctionName>,
    lost: [(&'static str, u64); 2],
    error: Option<anyhow::Error>,
}

/// A piece as the kernel programs have written it.
fn piece(bytes: &[u8]) -> Option<Piece> {
    // SAFETY: the length is checked, every bit pattern is valid, and the read does not need alignment.
    (bytes.len() >= size_of::<Piece>()).then(|| unsafe { bytes.as_ptr().cast::<Piece>().read_unaligned() })
}

impl Requests {
    /// Pieces have their own times, so they can wait until they are read. A client that sends many wakes nobody.
    fn read_pieces(&mut self) {
        for piece in self.pieces.by_ref().take(PIECES_PER_TURN) {
            self.jobs.on_piece(&piece);
        }
        self.slow.read(&self.names);
        self.uploads.read();
        self.pieces_read = Instant::now();
    }

    fn read_connections(&mut self, now_ns: u64) {
        let Self { now, ended, .. } = self;
        now.clear();
        ended.begin();
        let read = self.connections.read(|key, connection| {
            now.add(key, connection, now_ns);
            ended.see(key, connection, now_ns);
        });
        ended.finish().iter().for_each(|key| self.connections.remove(key));
        self.now_ns = now_ns;
        self.error = read.err();
    }

    /// Makes the kernel watch the container's ports. Returns whether there are any.
    fn watch(&mut self, slot: u32, listening: &[u16]) -> anyhow::Result<bool> {
        let known = self.services.get(slot)?;
        let wanted: Vec<u16> = (listening.iter().copied())
            .filter(|port| self.ports.is_empty() || self.ports.contains(port))
            .take(PORTS)
            .collect();
        let (now, unlisted) = (self.now.of(slot), self.unlisted.entry(slot).or_default());
        if let Some(service) = ports::changed(&known, &wanted, |port| now.uses(port), unlisted) {
            self.services.set(slot, service)?;
        }
        Ok(!wanted.is_empty())
    }

    fn usage(&mut self, slot: u32) -> anyhow::Result<RequestUsage> {
        let counters = self.counters.get(slot)?;
        let Now { in_flight, unanswered, streams, oldest, .. } = self.now.of(slot);
        Ok(RequestUsage {
            responses: self.responses(&counters.responses),
            retries: self.names.retries(&counters.retries),
            measures: counters.measures,
            in_flight,
            unanswered,
            streams,
            oldest,
            slow: self.slow.take(slot),
            uploads: self.uploads.of(slot),
        })
    }

    fn jobs_of(&self, slot: u32, container: &Container) -> anyhow::Result<Option<Jobs>> {
        let Some(jobs) = self.jobs.jobs(slot, &self.functions, &container.identity.container) else {
            return Ok(None);
        };
        let lost_ns = self.recent.get(slot)?.piece_lost_ns;
        let is_received = |connection| self.now.is_stream_received(connection);
        Ok(Some(Jobs { awaited: self.jobs.awaited(slot, lost_ns, self.now_ns, is_received), ..jobs }))
    }

    fn responses(&self, counts: &[u64; RESPONSES]) -> Vec<ResponseCount> {
        let mut responses: Vec<ResponseCount> = Vec::new();
        for (number, method) in Method::ALL.into_iter().enumerate() {
            for (class, code_class) in CODE_CLASSES.into_iter().enumerate() {
                for route in 0..=ROUTES {
                    let index = response_index(number as u32, (class as u32 + 1) * 100, route as u32);
                    let count = counts[index];
                    if count == 0 {
                        continue;
                    }
                    let (method, route) = (method.name(), self.names.get(route));
                    let same = |known: &&mut ResponseCount| {
                        (known.method, known.code_class, &known.route) == (method, code_class, &route)
                    };
                    match responses.iter_mut().find(same) {
                        Some(known) => known.count += count,
                        None => responses.push(ResponseCount { method, code_class, route, count }),
                    }
                }
            }
        }
        responses
    }
}

impl Collector for Requests {
    fn configure(&mut self, config: &Config) {
        self.functions.clone_from(&config.requests.functions);
    }

    fn timer_at(&self) -> Option<Instant> {
        Some(self.pieces_read + PIECES_PERIOD)
    }

    fn on_timer(&mut self, _: &mut Kernel) {
        self.read_pieces();
    }

    fn lost(&self) -> &[(&'static str, u64)] {
        &self.lost
    }

    fn refresh(&mut self, _: Option<&mut Kernel>) {
        let now_ns = host::monotonic_ns();
        self.read_pieces();
        self.jobs.expire(now_ns);
        self.lost = [("gradio_jobs", self.jobs.evicted()), ("slow_requests", self.slow.dropped())];
        self.read_connections(now_ns);
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(slot) = container.slot else { return Ok(()) };
        let Some(sockets) = row.sockets.as_deref() else { return Ok(()) };
        // Once a container has served requests, its counters stay.
        if self.watch(slot, &sockets.listening_ports)? || row.requests.is_some() {
            row.requests = Some(Box::new(self.usage(slot)?));
            row.jobs = self.jobs_of(slot, container)?.map(Box::new);
        }
        Ok(())
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        let Ok(service) = self.services.get(slot) else { return };
        let mut stale = Vec::new();
        if service != Service::default() || self.now.has(slot) {
            let read = self.connections.read(|key, _| {
                if key.slot == slot {
                    stale.push(*key);
                }
            });
            if let Err(error) = read {
                tracing::warn!("cannot remove the connections of a container that has ended: {error:#}");
            }
        }
        stale.iter().for_each(|key| self.connections.remove(key));
        self.jobs.forget(slot);
        self.slow.forget(slot);
        self.uploads.forget(slot);
        self.unlisted.remove(&slot);
        self.services.clear(slot);
        self.recent.clear(slot);
        self.counters.clear(slot);
    }
}
