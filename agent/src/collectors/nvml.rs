//! GPU metrics from NVML, NVIDIA's management library: the values of each GPU, and each container's use of it.
//!
//! The library is loaded at run time from `nvml.library`. A host without it has no GPU rows, and loading is retried
//! every 10 s. A separate thread calls the library (`nvml/thread.rs`), because a call may hang. The tick uses the
//! latest reading; when that reading is stale, the values are absent.
//!
//! Every `nvml.sample_ms` the thread samples values that change fast: the driver's own buffer of utilization samples,
//! memory and momentary power. Once per tick it reads all values, and the processes on each GPU. In between it waits
//! for Xid errors. A GPU that falls off the bus or requires a reset is shown as down, without other values; the other
//! GPUs are not affected. The thread then reloads the library, at most once every 10 s, because that is the only way in
//! which NVML finds such a GPU again. While reloading does not help, the wait doubles up to 10 minutes
//! (`nvml/backoff.rs`). GPUs that the kernel driver lists but NVML does not report are shown as down
//! (`nvml/driver_gpus.rs`). Impossible values are dropped (`nvml/plausible.rs`, `nvml/meter.rs`).
//!
//! Cost: about 40 calls per GPU and tick, and 3 per sample. Calls that a GPU does not support are retried only
//! every 60th time. The duration of calls depends on the driver, see `glassbox_nvml_reading_duration_seconds`. Drivers from
//! 510 on list processes in a format that this collector reads; older drivers provide only the values of GPUs.

mod backoff;
mod calls;
mod cursor;
mod device;
mod driver_gpus;
mod events;
mod examination;
mod fields;
mod gpm;
mod history;
mod meter;
mod owner;
mod plausible;
mod processes;
mod reading;
mod runs;
mod session;
mod thread;

use std::{ffi::OsString, fs, path::PathBuf, sync::Arc, time::Duration};

pub use self::reading::Reading;
use self::{
    driver_gpus::DriverGpus, owner::Owners, reading::Latest, runs::Runs, session::Record, session::Session,
};
use super::{
    Collector, Context, Spec,
    thread::{Stop, Thread},
};
use crate::{
    config::Config,
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, privileges},
    snapshot::{
        ContainerRow,
        gpu::{ContainerGpu, Gpu, KnownBy, NvmlUsage},
        host::Host,
    },
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "nvml",
    summary: "GPUs and the containers on them, from NVIDIA's management library",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &[],
    start: |context| Ok(Box::new(Nvml::new(context)?)),
    examine: examination::examine,
};

/// Time until loading the library, or finding a missing GPU, is retried: at first, and at most.
const RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
const SYS: &str = "/sys";
/// A reading is stale after this many ticks, but not before [`STALE_AFTER`].
const STALE_TICKS: u32 = 3;
const STALE_AFTER: Duration = Duration::from_secs(3);

/// Settings of the collector.
#[derive(Clone, Debug)]
pub struct Options {
    /// The library: a path, or a name for the dynamic linker.
    pub library: OsString,
    /// Time between two samples of fast-changing values.
    pub sample: Duration,
    /// Time between two readings of all values.
    pub tick: Duration,
    /// Time until loading the library, or finding a missing GPU, is retried. Doubles with each unsuccessful attempt, up
    /// to `retry_max`.
    pub retry: Duration,
    /// The longest time between two attempts.
    pub retry_max: Duration,
    /// The mount point of sysfs.
    pub sys_root: PathBuf,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self {
            library: config.nvml.library.clone().into(),
            sample: *config.nvml.sample_ms,
            tick: *config.tick_ms,
            retry: RETRY,
            retry_max: RETRY_MAX,
            sys_root: SYS.into(),
        }
    }
}

/// The collector.
pub struct Nvml {
    latest: Latest,
    reading: Option<Arc<Reading>>,
    stale_after: Duration,
    hostname: String,
    runs: Runs,
    _thread: Thread,
}

impl Nvml {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        Self::start(Options::from(context.config), &context.config.paths.proc, context.layout)
    }

    /// Starts the thread without waiting for it.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(options: Options, proc_root: &std::path::Path, layout: &Layout) -> anyhow::Result<Self> {
        let latest = Latest::default();
        let stale_after = STALE_AFTER.max(options.tick * STALE_TICKS);
        let hostname = fs::read_to_string(proc_root.join("sys/kernel/hostname")).unwrap_or_default();
        let record = record(&options, proc_root, layout);
        let (lost, shared) = ("GPU metrics are absent", latest.clone());
        let work = move |stop: &Stop| thread::run(&options, record, &shared, stop);
        let thread = Thread::start("glassbox-nvml", lost, work)?;
        let hostname = hostname.trim().to_owned();
        let runs = Runs::default();
        Ok(Self { latest, reading: None, stale_after, hostname, runs, _thread: thread })
    }

    /// The last reading, unless it is stale.
    fn current(&self) -> Option<&Reading> {
        let reading = self.reading.as_deref()?;
        (reading.taken?.elapsed() <= self.stale_after).then_some(reading)
    }

    fn shares(&self, container: &Container) -> Option<&Vec<ContainerGpu>> {
        self.current()?.containers.get(container.identity.cgroup_path.as_str())
    }
}

impl Collector for Nvml {
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {
        self.reading = self.latest.get();
    }

    fn limitation(&self) -> Option<&str> {
        self.reading.as_ref()?.limitation.as_deref()
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let shares = self.shares(container).cloned().unwrap_or_default();
        // If a GPU reports nothing, the totals of the container stay.
        let silent = row.gpus.iter().filter(|old| shares.iter().all(|new| new.index != old.index));
        let mut gpus: Vec<_> = silent.map(ContainerGpu::totals).collect();
        gpus.extend(self.runs.of_this_run(container, shares));
        gpus.sort_unstable_by_key(|gpu| gpu.index);
        row.gpus = gpus;
        Ok(())
    }

    fn forget(&mut self, container: &Container) {
        self.runs.end(container);
    }

    fn collect_host(&mut self, host: &mut Host) {
        let current = self.current();
        let last = self.reading.as_deref();
        let up = current.is_some_and(|reading| reading.up);
        host.gpus = match (current, last) {
            (Some(reading), _) => reading.gpus.clone(),
            // NVML hangs: the GPUs are listed without values.
            (None, Some(reading)) => reading.gpus.iter().map(silent).collect(),
            (None, None) => Vec::new(),
        };
        let unreported = last.map(|reading| reading.unreported.as_slice()).unwrap_or_default();
        host.unreported_gpus = unreported.iter().map(|address| unreported_gpu(address)).collect();
        host.nvml = Some(NvmlUsage {
            up,
            driver_version: last.map(|reading| reading.driver_version.clone()).unwrap_or_default(),
            hostname: self.hostname.clone(),
            reading_age: last.and_then(|reading| reading.taken).map(|taken| taken.elapsed()),
            reading_duration: current.map(|reading| reading.duration),
            failures: last.map(|reading| reading.failures.clone()).unwrap_or_default(),
            rejected: last.map(|reading| reading.rejected.clone()).unwrap_or_default(),
        });
    }
}

/// A GPU that the driver lists and NVML does not report.
fn unreported_gpu(pci_bus_id: &str) -> Gpu {
    Gpu { pci_bus_id: pci_bus_id.to_owned(), known_by: KnownBy::Driver, ..Gpu::default() }
}

fn record(options: &Options, proc_root: &std::path::Path, layout: &Layout) -> Record {
    let owners = Owners::new(proc_root.to_owned(), layout.clone());
    Record::new(owners, DriverGpus::new(proc_root, &options.sys_root))
}

/// The GPU's identity without any values.
fn silent(gpu: &Gpu) -> Gpu {
    Gpu {
        index: gpu.index,
        uuid: gpu.uuid.clone(),
        name: gpu.name.clone(),
        pci_bus_id: gpu.pci_bus_id.clone(),
        minor: gpu.minor,
        ..Gpu::default()
    }
}

/// Loads the library, reads all values once and unloads the library, in the calling thread. For `glassbox check` and
/// for tests. Hangs if NVML hangs.
#[must_use]
pub fn read_once(options: &Options, proc_root: &std::path::Path, layout: &Layout) -> Reading {
    let mut record = record(options, proc_root, layout);
    match thread::open(&options.library, &mut record.failures) {
        Ok(nvml) => {
            let mut session = Session::new(&nvml, &mut record);
            session.sample(&mut record);
            session.read(&mut record)
        }
        Err(refusal) => Reading {
            unreported: refusal.unreported(&mut record.driver_gpus, &[]),
            finding: refusal.finding,
            failures: record.failures.all(),
            ..Reading::default()
        },
    }
}
