//! The loop that makes snapshots: one thread, woken by the clock and by the kernel's cgroup events.
//!
//! A tick reads everything once and publishes one [`Snapshot`]. Events are handled at once, between ticks, because a
//! container's first and last counters cannot wait.

mod containers;
mod events;
mod losses;
mod running;
mod slots;
mod wait;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use glassbox_ebpf::Lost;
use tokio::sync::watch;

pub use self::wait::Waker;
use self::{running::Running, wait::Woken};
use crate::{
    collectors::{COLLECTORS, Context, nvidia_driver},
    config::Config,
    containers::{cgroup::Layout, directory::Directory, tracker::Tracker},
    gpu_state::{GpuStates, Sources},
    kernel::{self, Kernel},
    snapshot::{
        Snapshot,
        agent::{AgentUsage, RuntimeStatus},
        gpu::HostRows,
    },
};

/// Receives each snapshot; `None` before the first.
pub type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// How long the first snapshot waits for the runtimes' names.
const WAIT_FOR_RUNTIMES: Duration = Duration::from_millis(150);

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
    events: events::Events,
    refused: slots::Refused,
    lives: containers::Lives,
    losses: losses::Reports,
    gpu_states: GpuStates,
    ticks: u64,
    ticks_skipped: u64,
}

impl Engine {
    /// Loads the kernel programs and starts the collectors. What cannot start is logged and left out.
    ///
    /// # Errors
    /// Where this host has no cgroup tree: there is nothing to watch then.
    pub fn start(config: Config, directory: Directory) -> anyhow::Result<(Self, Snapshots)> {
        let layout = Layout::detect(&config.cgroup_root)?;
        let mut kernel = match start_kernel(&config, &layout) {
            Ok(kernel) => Ok(kernel),
            Err(error) => {
                tracing::warn!("go on without kernel programs: {error:#}");
                Err(format!("{error:#}"))
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
        release_start_up_memory();
        let most_ended = config.containers_max as usize * 4;
        let tracker = Tracker::new(directory.clone(), config.rename.clone(), config.keep_ended, most_ended);
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
            events: events::Events::default(),
            refused: slots::Refused::default(),
            lives: containers::Lives::default(),
            losses: losses::Reports::default(),
            gpu_states: GpuStates::default(),
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
            match wait::until(due, self.kernel.as_ref().map(Kernel::events_fd), self.events.waiting(), stop)?
            {
                Woken::Stop => return Ok(()),
                Woken::Events => self.handle_events(),
                Woken::Time => {
                    self.tick();
                    ticked();
                    due += self.config.tick;
                    let now = Instant::now();
                    while due < now {
                        due += self.config.tick;
                        self.ticks_skipped += 1;
                    }
                }
            }
        }
    }

    /// Reads everything once and publishes it.
    pub fn tick(&mut self) {
        let begun = Instant::now();
        let now = SystemTime::now();
        self.handle_events();
        self.walk_if_due(now);
        self.claim_slots();
        self.tracker.expire(now);
        self.tracker.name();
        let mut host = HostRows::default();
        for running in &mut self.collectors {
            running.collect_all(&mut self.tracker, self.kernel.as_mut(), &mut host, now);
        }
        host.join_xids();
        let sources =
            Sources { driver: self.driver_known(), nvml: host.nvml.as_ref().is_some_and(|nvml| nvml.up) };
        let rows = self.tracker.living().map(|entry| (entry.container.key, &mut entry.row));
        self.gpu_states.fill(rows, sources, begun);
        if let Some(kernel) = &mut self.kernel {
            kernel.tick();
        }
        self.ticks += 1;
        let mut agent = self.usage(begun.elapsed());
        agent.lost.push(("disk_walks", host.disk.as_ref().map_or(0, |disk| disk.walks_given_up)));
        self.losses.report(&agent.lost, begun);
        let snapshot = Snapshot {
            taken_at: now,
            containers: self.tracker.rows(now),
            gpus: host.gpus,
            stray_gpus: host.stray_gpus,
            nvml: host.nvml,
            disk: host.disk,
            machine: host.machine,
            agent,
        };
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
    }

    /// Whether a container that is not seen calling the NVIDIA driver does not call it.
    fn driver_known(&self) -> bool {
        let name = nvidia_driver::SPEC.name;
        let runs = self.collectors.iter().any(|running| running.status.name == name && running.status.up);
        let refused = |kernel: &Kernel| {
            kernel.outcomes().iter().any(|outcome| outcome.noun == name && outcome.rung.is_none())
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
            containers_running: self.tracker.living().count(),
            containers_discovered: self.lives.discovered,
            containers_ended: self.lives.ended,
        }
    }
}

/// Gives back what reading the kernel's type information took: some 15 MB that glibc would keep for later.
fn release_start_up_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it only returns free pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn start_kernel(config: &Config, layout: &Layout) -> anyhow::Result<Kernel> {
    let hierarchy_id = layout.hierarchy_id(&config.proc_root)?;
    Kernel::start(&kernel::Options { config, hierarchy_id, change_offsets: |_| () })
}
