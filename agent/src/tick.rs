//! The loop that makes snapshots: one thread, woken by the clock and by the kernel's cgroup events.
//!
//! A tick reads everything once and publishes one [`Snapshot`]. Events are handled at once, between ticks, because a
//! container's first and last counters cannot wait.

mod claims;
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
    time::{Duration, Instant},
};

use glassbox_ebpf::Lost;
use tokio::sync::watch;

pub use self::wait::Waker;
use self::{memory::Memory, running::Running, wait::Woken};
use crate::{
    analysis::{
        gpu_state::{GpuStates, Sources},
        problems::Problems,
        xids,
    },
    collectors::{COLLECTORS, Context, nvidia_driver},
    config::Config,
    containers::{Moment, cgroup::Layout, directory::Directory, tracker::Tracker},
    kernel::{self, Kernel},
    snapshot::{
        Delivery, Snapshot,
        agent::{AgentUsage, RuntimeStatus},
        host::Host,
    },
};

/// Receives each snapshot; `None` before the first.
pub type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// How long the first snapshot waits for the runtimes' names.
const WAIT_FOR_RUNTIMES: Duration = Duration::from_millis(150);

/// After so long every runtime has listed its containers: a rename rule that has matched none is reported.
const RULES_SETTLE: Duration = Duration::from_secs(60);

/// The state between ticks.
pub struct Engine {
    config: Config,
    layout: Layout,
    directory: Directory,
    tracker: Tracker,
    kernel: Option<Kernel>,
    collectors: Vec<Running>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    walks: containers::Walks,
    claims: claims::Claims,
    /// That of the last snapshot.
    delivery: Delivery,
    started: Instant,
    events: events::Events,
    refused: slots::Refused,
    lives: containers::Lives,
    losses: losses::Reports,
    gpu_states: GpuStates,
    problems: Problems,
    hostname: String,
    memory: Memory,
    ticks: u64,
    ticks_skipped: u64,
}

impl Engine {
    /// Loads the kernel programs and starts the collectors. What cannot start is logged and left out.
    ///
    /// # Errors
    /// Where this host has no cgroup tree: there is nothing to watch then.
    pub fn start(config: Config, directory: Directory) -> anyhow::Result<(Self, Snapshots)> {
        let layout = Layout::detect(&config.paths.cgroup)?;
        let mut kernel = match start_kernel(&config, &layout) {
            Ok(kernel) => Ok(kernel),
            Err(error) => {
                tracing::warn!("kernel programs cannot be loaded, their metrics are missing: {error:#}");
                // The collectors that need them refer to that line instead of repeating it.
                Err("kernel programs are not loaded, see above".to_owned())
            }
        };
        let collectors = COLLECTORS
            .iter()
            .filter(|spec| config.is_on(spec.name))
            .map(|spec| {
                let mut context = Context {
                    config: &config,
                    layout: &layout,
                    kernel_error: kernel.as_ref().err().cloned(),
                    kernel: kernel.as_mut().ok(),
                    layers: directory.layers().clone(),
                };
                Running::start(spec, &mut context)
            })
            .collect();
        // What reading the kernel's type information took: some 15 MB.
        memory::release();
        let most_ended = *config.containers.max as usize * 4;
        let tracker = Tracker::new(
            directory.clone(),
            config.containers.rename.clone(),
            *config.containers.keep_ended_s,
            most_ended,
        );
        let hostname = kernel::host::name(&config.paths.proc);
        let (snapshots, receiver) = watch::channel(None);
        let engine = Self {
            config,
            layout,
            directory,
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
            lives: containers::Lives::default(),
            losses: losses::Reports::default(),
            gpu_states: GpuStates::default(),
            problems: Problems::default(),
            hostname,
            memory: Memory::default(),
            ticks: 0,
            ticks_skipped: 0,
        };
        Ok((engine, receiver))
    }

    /// Ticks until `stop` is woken. `ticked` is called after each tick.
    ///
    /// # Errors
    /// Where waiting itself fails, which leaves nothing to do but to end.
    pub fn run(&mut self, stop: &Waker, mut ticked: impl FnMut()) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.directory.first_listing_done() && begun.elapsed() < WAIT_FOR_RUNTIMES {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut due = Instant::now();
        loop {
            let wake = self.attend_at().map_or(due, |at| at.min(due));
            match wait::until(wake, self.event_sources(), self.events.waiting(), stop)? {
                Woken::Stop => return Ok(()),
                Woken::Events => self.handle_events(),
                Woken::Time if Instant::now() < due => self.attend(),
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

    /// What becomes readable when there are events: the kernel's of containers, and those of collectors.
    fn event_sources(&mut self) -> Vec<RawFd> {
        let Some(kernel) = &self.kernel else { return Vec::new() };
        let of_collectors =
            running::active(&mut self.collectors).filter_map(|collector| collector.event_source());
        std::iter::once(kernel.events.descriptor()).chain(of_collectors).collect()
    }

    /// When the first collector wants to be called before the next tick.
    fn attend_at(&mut self) -> Option<Instant> {
        running::active(&mut self.collectors).filter_map(|collector| collector.attend_at()).min()
    }

    fn attend(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let now = Instant::now();
        running::active(&mut self.collectors)
            .filter(|collector| collector.attend_at().is_some_and(|at| at <= now))
            .for_each(|collector| collector.attend(kernel));
    }

    /// Reads everything once and publishes it.
    pub fn tick(&mut self) {
        let begun = Instant::now();
        let now = Moment::now();
        self.handle_events();
        self.walk_if_due(now);
        self.claim_slots();
        self.look_for_processes();
        self.tracker.expire(now, self.delivery.scraped());
        self.tracker.name(now);
        if self.started.elapsed() >= RULES_SETTLE {
            self.tracker.warn_of_idle_renames();
        }
        let mut host = Host::default();
        for running in &mut self.collectors {
            running.collect_all(&mut self.tracker, self.kernel.as_mut(), &mut host, now.wall);
        }
        xids::join(&mut host);
        let nvml = host.nvml.as_ref().is_some_and(|nvml| nvml.up);
        let present = nvml || !host.gpus.is_empty() || self.driver_present();
        let sources = Sources { present, driver: self.driver_known(), nvml };
        let rows = self.tracker.living().map(|entry| (entry.container.key, &mut entry.row));
        self.gpu_states.fill(rows, sources, begun);
        if let Some(kernel) = &mut self.kernel {
            kernel.tick();
        }
        self.ticks += 1;
        let mut agent = self.usage(begun.elapsed());
        agent.lost.push(("disk_walks", host.disk.as_ref().map_or(0, |disk| disk.walks_given_up)));
        self.losses.report(&agent.lost, begun);
        self.delivery = self.delivery.next();
        let mut containers = self.tracker.rows(now, self.delivery.number());
        self.problems.fill(&mut containers, now);
        let snapshot =
            Snapshot { delivery: self.delivery.clone(), taken_at: now.wall, containers, host, agent };
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
        if self.memory.is_due() {
            self.tracker.shrink();
            self.directory.shrink();
            memory::release();
        }
    }

    /// True if there is a driver: its programs are attached, or were tried and could not be.
    fn driver_present(&self) -> bool {
        let outcomes = self.kernel.as_ref().map(Kernel::outcomes).unwrap_or_default();
        outcomes.iter().any(|outcome| outcome.probe == nvidia_driver::SPEC.name)
    }

    /// True if a container that is not seen calling the NVIDIA driver does not call it.
    fn driver_known(&self) -> bool {
        let name = nvidia_driver::SPEC.name;
        let runs = self.collectors.iter().any(|running| running.status.name == name && running.status.up);
        let refused = |kernel: &Kernel| {
            kernel.outcomes().iter().any(|outcome| outcome.probe == name && outcome.method.is_none())
        };
        runs && !self.kernel.as_ref().is_some_and(refused)
    }

    fn usage(&mut self, tick_duration: Duration) -> AgentUsage {
        let mut lost: Vec<_> = match &self.kernel {
            Some(kernel) => {
                let refused = |lost| match lost {
                    Lost::CgroupSlots => self.refused.slots,
                    Lost::CgroupTable => self.refused.entries,
                    _ => 0,
                };
                let lost = kernel.lost().into_iter();
                lost.map(|(lost, count)| (lost.source(), count + refused(lost))).collect()
            }
            None => Lost::ALL.iter().map(|lost| (lost.source(), 0)).collect(),
        };
        lost.push(("ended_containers", self.tracker.dropped()));
        lost.push(("cgroup_walk", self.walks.truncated));
        AgentUsage {
            demo: self.config.demo,
            hostname: self.hostname.clone(),
            collectors: self.collectors.iter().map(|running| running.status.clone()).collect(),
            programs: self.kernel.as_ref().map(Kernel::programs).unwrap_or_default(),
            lost,
            maps: self.kernel.as_ref().map(Kernel::maps).unwrap_or_default(),
            runtimes: self
                .directory
                .runtimes()
                .into_iter()
                .map(|(runtime, state)| RuntimeStatus { runtime: runtime.as_str(), connected: state.is_ok() })
                .collect(),
            ticks: self.ticks,
            ticks_skipped: self.ticks_skipped,
            tick_duration,
            containers_running: self.tracker.running(),
            containers_discovered: self.lives.discovered,
            containers_ended: self.lives.ended,
        }
    }
}

fn start_kernel(config: &Config, layout: &Layout) -> anyhow::Result<Kernel> {
    let hierarchy_id = layout.hierarchy_id(&config.paths.proc)?;
    Kernel::start(&kernel::Options { config, hierarchy_id, change_offsets: |_| () })
}
