//! Sizes and limits of containers' writable layers.
//!
//! Sources, in order of preference: the filesystem, which accounts for the layer if it has a project quota
//! (`disk/project.rs`); the runtime, for Kubernetes containers (`containers/cri/disk.rs`); and a bounded walk over the
//! files at two per cent of a core, only if `disk.walk` is on (`disk/walk.rs`). If no source reports a value, the value
//! is absent. Docker's API is not queried, because the daemon would walk.
//!
//! A separate thread reads the sources every `disk.period_s` (`disk/thread.rs`), because a filesystem may hang. The
//! tick uses the last reading; when that reading is stale, the values are absent. A layer is located once, through one
//! process of its container (`disk/layer.rs`).
//!
//! Cost: 16 µs per container and round, without walks, and a map lookup per tick. Layers are found from Linux 5.6 on
//! (`openat2`).

mod layer;
mod project;
mod reading;
mod rounds;
mod thread;
mod walk;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::{
    reading::{Reading, Shared, Subject},
    rounds::Rounds,
    walk::{BOUNDS, Bounds},
};
use super::{Collector, Context, Spec, examination, thread::Thread};
use crate::containers::process;
use crate::{
    containers::{cgroup::Layout, layers::Layers, tracker::Container},
    kernel::{Kernel, privileges},
    snapshot::{ContainerRow, disk::DiskReading, host::Host},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "disk",
    summary: "sizes and limits of writable layers, from project quotas and CRI",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &[],
    start: |context| Ok(Box::new(Disk::new(context)?)),
    examine: examination::of_start,
};

/// A reading is stale after this many periods.
const STALE_PERIODS: u32 = 3;

/// A runtime needs some tenths of a second from creating a container's cgroup until the first process is in the
/// container's root.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Settings of the collector.
struct Options {
    layout: Layout,
    proc_root: PathBuf,
    sys_root: PathBuf,
    period: Duration,
    /// Minimum age of a container before its layer is looked up.
    debounce: Duration,
    walk: bool,
    bounds: Bounds,
    /// Sizes that runtimes report.
    reported: Layers,
}

struct Disk {
    shared: Shared,
    period: Duration,
    reading: Option<Arc<Reading>>,
    /// The number of the current reading; 0 if there is none.
    number: u64,
    /// For each container, the number of the reading that its row shows.
    rows: HashMap<u64, u64>,
    /// Why writable layers cannot be found on this host.
    limitation: Option<String>,
    /// Walks that were given up.
    lost: [(&'static str, u64); 1],
    _thread: Thread,
}

impl Disk {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let config = context.config;
        let options = Options {
            layout: context.layout.clone(),
            proc_root: config.paths.proc.clone(),
            sys_root: config.paths.sys.clone(),
            period: *config.disk.period_s,
            debounce: DEBOUNCE,
            walk: config.disk.walk,
            bounds: BOUNDS,
            reported: context.layers.clone(),
        };
        Self::start(options)
    }

    /// Starts the thread without waiting for it.
    fn start(options: Options) -> anyhow::Result<Self> {
        let (shared, period) = (Shared::default(), options.period);
        let limitation = process::limitation(&options.layout, &options.proc_root);
        let limitation = limitation.map(|reason| format!("{reason}; only sizes that CRI reports are shown"));
        let rounds = Rounds::new(options, shared.clone()).context("open the host's root")?;
        let lost = "the sizes of writable layers are absent";
        let thread = Thread::start("glassbox-disk", lost, move |stop| thread::run(rounds, period, stop))?;
        Ok(Self {
            shared,
            period,
            reading: None,
            number: 0,
            rows: HashMap::new(),
            limitation,
            lost: [("disk_walks", 0)],
            _thread: thread,
        })
    }
}

impl Collector for Disk {
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {
        self.reading = self.shared.latest();
        let current =
            self.reading.as_ref().filter(|reading| reading.taken.elapsed() <= self.period * STALE_PERIODS);
        self.number = current.map_or(0, |reading| reading.number);
        self.lost[0].1 = self.reading.as_ref().map_or(0, |reading| reading.walks_given_up);
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let shared = &self.shared;
        let of = self.rows.entry(container.key).or_insert_with(|| {
            let identity = &container.identity;
            let (id, cgroup_path) = (identity.id.clone(), identity.cgroup_path.clone());
            shared.add(container.key, Subject { key: container.key, id, cgroup_path, since: Instant::now() });
            0
        });
        if *of != self.number {
            *of = self.number;
            let reading = self.reading.as_ref().filter(|_| self.number != 0);
            let usage = reading.and_then(|reading| reading.layers.get(&container.key));
            row.disk = usage.cloned().map(Box::new);
        }
        Ok(())
    }

    fn limitation(&self) -> Option<&str> {
        self.limitation.as_deref()
    }

    fn lost(&self) -> &[(&'static str, u64)] {
        &self.lost
    }

    fn collect_host(&mut self, host: &mut Host) {
        let last = self.reading.as_ref();
        host.disk = Some(DiskReading {
            age: last.map(|reading| reading.taken.elapsed()),
            duration: last.filter(|_| self.number != 0).map(|reading| reading.duration),
        });
    }

    fn forget(&mut self, container: &Container) {
        self.rows.remove(&container.key);
        self.shared.remove(container.key);
    }
}

#[cfg(test)]
mod tests;
