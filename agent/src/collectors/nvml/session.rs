//! A session with the library: from its initialization until it is reloaded.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;

use super::{
    Options,
    calls::{Calls, Failures, is_loss},
    device::{Past, Watched},
    driver_gpus::DriverGpus,
    events::Xids,
    history::History,
    owner::Owners,
    plausible::{Checks, Quantity},
    reading::Reading,
};
use crate::snapshot::gpu::{ContainerGpu, Gpu};

/// Maximum number of GPUs of a host; the largest hosts have 16.
const GPUS_MAX: u32 = 256;
/// Maximum number of events handled between two samples.
const EVENTS_MAX: u32 = 64;

/// State that outlives a session.
pub(super) struct Record {
    pub(super) failures: Failures,
    pub(super) checks: Checks,
    pub(super) histories: HashMap<String, History>,
    pub(super) owners: Owners,
    pub(super) driver_gpus: DriverGpus,
}

impl Record {
    pub(super) fn new(owners: Owners, driver_gpus: DriverGpus) -> Self {
        Self {
            failures: Failures::default(),
            checks: Checks::default(),
            histories: HashMap::new(),
            owners,
            driver_gpus,
        }
    }

    /// The earlier GPUs that are not in `present`, with their identity, as down. A GPU that no longer reports its
    /// unique ID is matched by its address.
    pub(super) fn lost(&self, present: &[Gpu]) -> impl Iterator<Item = Gpu> {
        let is_same = |gpu: &Gpu, other: &Gpu| {
            other.uuid == gpu.uuid
                || other.uuid.is_empty() && !other.pci_bus_id.is_empty() && other.pci_bus_id == gpu.pci_bus_id
        };
        let is_absent = move |gpu: &Gpu| present.iter().all(|other| !is_same(gpu, other));
        let known = self.histories.values().filter_map(|history| Some((history.identity.as_ref()?, history)));
        known.filter(move |(gpu, _)| is_absent(gpu)).map(|(gpu, history)| lost(gpu, history))
    }
}

/// The library and its GPUs.
pub(super) struct Session<'nvml> {
    nvml: &'nvml Nvml,
    gpus: Vec<Watched<'nvml>>,
    xids: Option<Xids<'nvml>>,
    driver_version: String,
    opened: Instant,
    checked: Instant,
    /// The number of GPUs that NVML reported when the library was loaded.
    count: u32,
    /// True if the session has a fault that only reloading the library can repair.
    stale: bool,
    /// True if the driver lists a GPU that this session lacks.
    lacks_listed: bool,
}

impl<'nvml> Session<'nvml> {
    /// Finds the GPUs.
    pub(super) fn new(nvml: &'nvml Nvml, record: &mut Record) -> Self {
        let Record { failures, checks, .. } = record;
        let driver_version =
            failures.ok("nvmlSystemGetDriverVersion", nvml.sys_driver_version()).unwrap_or_default();
        let count = failures.ok("nvmlDeviceGetCount_v2", nvml.device_count()).unwrap_or(0).min(GPUS_MAX);
        let mut gpus: Vec<_> =
            (0..count).filter_map(|index| Watched::find(nvml, index, failures, checks)).collect();
        let mut xids =
            if gpus.is_empty() { None } else { failures.ok("nvmlEventSetCreate", Xids::new(nvml)) };
        if let Some(xids) = &mut xids {
            for gpu in &mut gpus {
                let watched = failures.ok("nvmlDeviceRegisterEvents", xids.watch(&gpu.device));
                gpu.identity.xid_watched = watched.is_some();
            }
        }
        for gpu in gpus.iter().filter(|gpu| !gpu.identity.uuid.is_empty()) {
            record.histories.entry(gpu.key()).or_default().identity = Some(gpu.identity.clone());
        }
        let missing = gpus.len() != count as usize;
        let now = Instant::now();
        Self {
            nvml,
            stale: gpus.is_empty() || missing,
            gpus,
            xids,
            driver_version,
            opened: now,
            checked: now,
            count,
            lacks_listed: false,
        }
    }

    /// False if a GPU is missing or was lost, so that the library must be reloaded to find it.
    pub(super) fn is_complete(&self) -> bool {
        !self.stale && !self.lacks_listed && self.gpus.iter().all(|gpu| !gpu.lost)
    }

    /// True if the library should be reloaded: the number of GPUs has changed, or a GPU is missing and either `wait`
    /// has passed or the driver's devices or module have `changed`.
    pub(super) fn should_reopen(
        &mut self,
        record: &mut Record,
        options: &Options,
        wait: Duration,
        changed: bool,
    ) -> bool {
        let age = self.opened.elapsed();
        if age < options.retry {
            return false;
        }
        if self.checked.elapsed() >= options.retry {
            self.checked = Instant::now();
            match record.failures.ok("nvmlDeviceGetCount_v2", self.nvml.device_count()) {
                Some(count) if count.min(GPUS_MAX) != self.count => return true,
                count => self.stale |= count.is_none(),
            }
        }
        !self.is_complete() && (changed || age >= wait)
    }

    /// Samples all fast-changing values.
    pub(super) fn sample(&mut self, record: &mut Record) {
        for gpu in self.gpus.iter_mut().filter(|gpu| !gpu.lost) {
            let history = record.histories.entry(gpu.key()).or_default();
            gpu.lost = gpu.sample(history, &mut record.failures, &mut record.checks);
        }
    }

    /// Reads all values.
    pub(super) fn read(&mut self, record: &mut Record) -> Reading {
        let begun = Instant::now();
        record.owners.next_round();
        let mut containers: HashMap<Arc<str>, Vec<ContainerGpu>> = HashMap::new();
        let mut rows = Vec::with_capacity(self.gpus.len());
        for gpu in &mut self.gpus {
            let (row, shares) = read_one(self.nvml, gpu, record, begun);
            for (path, share) in shares {
                containers.entry(path).or_default().push(share);
            }
            rows.push(row);
        }
        let finding = format!("{} GPUs, driver {}", rows.len(), self.driver_version);
        self.lacks_listed = !record.driver_gpus.missing(&rows).is_empty();
        let lost: Vec<_> = record.lost(&rows).collect();
        rows.extend(lost);
        rows.sort_by_key(|gpu| gpu.index);
        let unreported = record.driver_gpus.missing(&rows);
        Reading {
            taken: Some(begun),
            duration: begun.elapsed(),
            up: true,
            finding,
            limitation: None,
            driver_version: self.driver_version.clone(),
            gpus: rows,
            unreported,
            containers,
            failures: record.failures.all(),
            rejected: record.checks.all(),
        }
    }

    /// Waits for `timeout`, and counts Xid errors during that time.
    pub(super) fn wait(
        &mut self,
        timeout: Duration,
        record: &mut Record,
        stopped: impl Fn(Duration) -> bool,
    ) {
        let deadline = Instant::now() + timeout;
        for _ in 0..EVENTS_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(xids) = &self.xids else { break };
            match xids.wait(left) {
                Ok(Some(xid)) => {
                    if record.checks.count(Quantity::Xid, xid.number).is_none() {
                        continue;
                    }
                    if let Some(gpu) = self.gpus.iter().find(|gpu| xid.is_of(&gpu.device)) {
                        tracing::warn!("GPU {} reported Xid error {}", gpu.identity.index, xid.number);
                        record.histories.entry(gpu.key()).or_default().add_xid(xid.number);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    record.failures.count("nvmlEventSetWait_v2", &error);
                    self.stale |= is_loss(&error);
                    break;
                }
            }
        }
        // Wait for the rest of the time if no GPU is watched, or if the wait failed early.
        stopped(deadline.saturating_duration_since(Instant::now()));
    }
}

fn read_one<'nvml>(
    nvml: &'nvml Nvml,
    gpu: &mut Watched<'nvml>,
    record: &mut Record,
    now: Instant,
) -> (Gpu, Vec<(Arc<str>, ContainerGpu)>) {
    let history = record.histories.entry(gpu.key()).or_default();
    let (failures, checks) = (&mut record.failures, &mut record.checks);
    if gpu.lost {
        return (lost(&gpu.identity, history), Vec::new());
    }
    let mut calls = Calls { failures, checks, resting: &mut history.resting, lost: false };
    let mut past = Past { power_limit_watts: &mut history.power_limit_watts, meters: &mut history.meters };
    let (mut row, used_mj) = gpu.read(nvml, &mut calls, &mut past, now);
    let mut shares = Vec::new();
    if !calls.lost {
        shares = history.accounts.read(&gpu.device, &mut row, used_mj, &mut calls, &mut record.owners, now);
    }
    gpu.lost = calls.lost;
    if !gpu.lost {
        gpu.lost = gpu.read_fields(&mut row, history, failures, checks, now);
    }
    if gpu.lost {
        return (lost(&gpu.identity, history), Vec::new());
    }
    row.utilization_samples.clone_from(&history.utilization);
    row.utilization_max_ratio = history.utilization_peak.max(now);
    row.power_max_watts = history.power_peak.max(now);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is an integer number of bytes"
    )]
    let bytes = |real: f64| real as u64;
    row.memory_used_max_bytes = history.memory_peak.max(now).map(bytes);
    add_xids(&mut row, history);
    (row, shares)
}

/// The row of a lost GPU: its identity and its Xid errors.
fn lost(identity: &Gpu, history: &History) -> Gpu {
    let mut row = identity.clone();
    add_xids(&mut row, history);
    row
}

fn add_xids(row: &mut Gpu, history: &History) {
    row.xids = history.xids.iter().map(|(number, count)| (*number, *count)).collect();
    row.last_xid = history.last_xid;
}
