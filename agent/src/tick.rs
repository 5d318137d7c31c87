//! The main loop, which creates the snapshots: one thread, woken by the clock and by events from the kernel.
//!
//! A tick reads everything once and publishes one [`Snapshot`]. Events are handled at once, between ticks, because the
//! first and the last counters of a container must be read in time.

mod claims;
mod configured;
mod containers;
mod events;
mod losses;
mod memory;
mod running;
mod slots;
mod wait;

use std::{
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

pub use self::{configured::Configured, wait::Waker};
use self::{memory::Memory, running::Running, wait::Woken};
use crate::{
    analysis::{Analysis, Recent},
    config::Config,
    containers::{Moment, cgroup::Layout, metadata::MetadataStore, tracker::Tracker},
    kernel::{self, Kernel},
    sandbox::Sandbox,
    snapshot::{
        Delivery, Snapshot,
        agent::{AgentUsage, ConfigStatus, RuntimeStatus},
        host::Host,
    },
    start::{self, Started},
};

/// Receives each snapshot; `None` before the first.
pub type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// How long the first snapshot waits for metadata from the runtimes.
const WAIT_FOR_RUNTIMES: Duration = Duration::from_millis(150);

/// By then every runtime has listed its containers, so rename rules without a match are reported.
const RULES_GRACE_PERIOD: Duration = Duration::from_secs(60);

/// The state between ticks.
pub struct Engine {
    config: Config,
    layout: Layout,
    metadata: MetadataStore,
    tracker: Tracker,
    kernel: Option<Kernel>,
    collectors: Vec<Running>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    walks: containers::Walks,
    claims: claims::Claims,
    /// The delivery of the last snapshot.
    delivery: Delivery,
    started: Instant,
    events: events::Events,
    refused: slots::Refused,
    counts: containers::ContainerCounts,
    losses: losses::Reports,
    analysis: Analysis,
    hostname: String,
    sandbox: Option<Arc<Sandbox>>,
    memory: Memory,
    ticks: u64,
    ticks_skipped: u64,
    config_status: ConfigStatus,
    /// Delivers a configuration that was read again.
    changes: Option<watch::Receiver<Configured>>,
}

impl Engine {
    /// Loads the kernel programs and starts the collectors. Failures are logged, and the agent starts without that
    /// part.
    ///
    /// # Errors
    /// If this host has no cgroup tree, because then there is nothing to monitor.
    pub fn start(config: Config, metadata: MetadataStore) -> anyhow::Result<(Self, Snapshots)> {
        let layout = Layout::detect(&config.paths.cgroup)?;
        let Started { kernel, collectors } = start::all(&config, &layout, metadata.layers());
        if let Err(error) = &kernel {
            tracing::warn!("cannot load the kernel programs; their metrics are missing: {error:#}");
        }
        let collectors = collectors
            .into_iter()
            .filter_map(|start| Some(Running::new(start.spec, start.outcome?)))
            .collect();
        // Parsing the kernel's type information used some 15 MB.
        memory::release();
        let most_ended = *config.containers.max as usize * 4;
        let tracker = Tracker::new(
            metadata.clone(),
            config.containers.rename.clone(),
            *config.containers.keep_ended_s,
            most_ended,
        );
        let hostname = kernel::host::name(&config.paths.proc);
        let (snapshots, receiver) = watch::channel(None);
        let analysis = Analysis::new(&config);
        let engine = Self {
            config,
            layout,
            metadata,
            tracker,
            kernel: kernel.ok(),
            collectors,
            snapshots,
            walks: containers::Walks::default(),
            claims: claims::Claims::default(),
            delivery: Delivery::default(),
            started: Instant::now(),
            events: events::Events::default(),
            refused: slots::Refused::default(),
            counts: containers::ContainerCounts::default(),
            losses: losses::Reports::default(),
            analysis,
            hostname,
            sandbox: None,
            memory: Memory::default(),
            ticks: 0,
            ticks_skipped: 0,
            config_status: ConfigStatus { last_load_succeeded: true, loaded_at: SystemTime::now() },
            changes: None,
        };
        Ok((engine, receiver))
    }

    /// Makes snapshots include the restrictions of this process.
    pub fn report_sandbox(&mut self, sandbox: Arc<Sandbox>) {
        self.sandbox = Some(sandbox);
    }

    /// Runs ticks until `stop` is woken. Calls `ticked` after each tick.
    ///
    /// # Errors
    /// If waiting fails: the agent cannot continue then.
    pub fn run(&mut self, stop: &Waker, mut ticked: impl FnMut()) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.metadata.first_listing_done() && begun.elapsed() < WAIT_FOR_RUNTIMES {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut due = Instant::now();
        loop {
            let wake = self.timer_at().map_or(due, |at| at.min(due));
            match wait::until(wake, self.event_sources(), self.events.waiting(), stop)? {
                Woken::Stop => return Ok(()),
                Woken::Events => self.handle_events(),
                Woken::Time if Instant::now() < due => self.on_timer(),
                Woken::Time => {
                    self.tick();
                    ticked();
                    due += *self.config.tick_ms;
                    let now = Instant::now();
                    while due < now {
                        due += *self.config.tick_ms;
                        self.ticks_skipped += 1;
                    }
                }
            }
        }
    }

    /// The descriptors that become readable on events: container start and exit events, and those of collectors.
    fn event_sources(&mut self) -> Vec<RawFd> {
        let Some(kernel) = &self.kernel else { return Vec::new() };
        let of_collectors = self
            .collectors
            .iter_mut()
            .filter_map(|running| running.with(|collector| collector.event_source()).flatten());
        std::iter::once(kernel.events.descriptor()).chain(of_collectors).collect()
    }

    /// When the first collector has to be called before the next tick.
    fn timer_at(&mut self) -> Option<Instant> {
        self.collectors.iter_mut().filter_map(Running::timer_at).min()
    }

    fn on_timer(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let now = Instant::now();
        for running in &mut self.collectors {
            if running.timer_at().is_some_and(|at| at <= now) {
                running.with(|collector| collector.on_timer(kernel));
            }
        }
    }

    /// Reads everything once and publishes it.
    pub fn tick(&mut self) {
        let begun = Instant::now();
        let now = Moment::now();
        self.apply_changes();
        self.handle_events();
        self.walk_if_due(now);
        self.claim_slots();
        self.check_all_processes();
        self.tracker.expire(now, self.delivery.scraped());
        self.tracker.name(now);
        if self.started.elapsed() >= RULES_GRACE_PERIOD {
            self.tracker.warn_of_idle_renames();
        }
        let mut host = Host::default();
        for running in &mut self.collectors {
            running.collect_all(&mut self.tracker, self.kernel.as_mut(), &mut host, now.wall);
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.tick();
        }
        self.ticks += 1;
        let agent = self.usage(begun.elapsed());
        self.losses.report(&agent.lost, begun);
        self.delivery = self.delivery.next();
        let containers = self.tracker.rows(now, self.delivery.number());
        let mut snapshot =
            Snapshot { delivery: self.delivery.clone(), taken_at: now.wall, containers, host, agent };
        self.analysis.derive(&mut snapshot, Recent::new(self.snapshots.borrow().as_deref()), now);
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
        if self.memory.is_due() {
            self.tracker.shrink();
            self.metadata.shrink();
            memory::release();
        }
    }

    fn usage(&mut self, tick_duration: Duration) -> AgentUsage {
        AgentUsage {
            demo: self.config.demo,
            hostname: self.hostname.clone(),
            labels: self.config.labels.shared(),
            collectors: self.collectors.iter().map(|running| running.status.clone()).collect(),
            sandbox: self.sandbox.as_ref().map(|sandbox| sandbox.status()).unwrap_or_default(),
            programs: self.kernel.as_ref().map(Kernel::programs).unwrap_or_default(),
            lost: self.lost(),
            maps: self.kernel.as_ref().map(Kernel::maps).unwrap_or_default(),
            runtimes: self
                .metadata
                .runtimes()
                .into_iter()
                .map(|(runtime, state)| RuntimeStatus { runtime: runtime.as_str(), connected: state.is_ok() })
                .collect(),
            config: Some(self.config_status),
            ticks: self.ticks,
            ticks_skipped: self.ticks_skipped,
            tick_duration,
            containers_running: self.tracker.running(),
            containers_discovered: self.counts.discovered,
            containers_ended: self.counts.ended,
        }
    }
}
