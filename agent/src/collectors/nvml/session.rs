//! One life of the loaded library: from its initialisation until it is to be loaded anew.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;

use super::{
    Options,
    calls::{Calls, Failures, is_loss},
    device::Watched,
    events::Xids,
    history::History,
    owner::Owners,
    reading::Reading,
};
use crate::snapshot::gpu::{ContainerGpu, Gpu};

/// Most GPUs of a host; 16 is the most that is built.
const GPUS_MAX: u32 = 256;
/// Most events handled between two samples.
const EVENTS_MAX: u32 = 64;

/// What outlives a session.
pub(super) struct Record {
    pub(super) failures: Failures,
    pub(super) histories: HashMap<String, History>,
    pub(super) owners: Owners,
}

/// The library and its GPUs.
pub(super) struct Session<'nvml> {
    nvml: &'nvml Nvml,
    gpus: Vec<Watched<'nvml>>,
    xids: Option<Xids<'nvml>>,
    driver_version: String,
    opened: Instant,
    checked: Instant,
    /// Something is amiss that only loading the library anew can mend.
    stale: bool,
}

impl<'nvml> Session<'nvml> {
    /// Finds the GPUs.
    pub(super) fn new(nvml: &'nvml Nvml, record: &mut Record) -> Self {
        let failures = &mut record.failures;
        let driver_version =
            failures.ok("nvmlSystemGetDriverVersion", nvml.sys_driver_version()).unwrap_or_default();
        let count = failures.ok("nvmlDeviceGetCount_v2", nvml.device_count()).unwrap_or(0).min(GPUS_MAX);
        let mut gpus: Vec<_> = (0..count).filter_map(|index| Watched::find(nvml, index, failures)).collect();
        let mut xids =
            if gpus.is_empty() { None } else { failures.ok("nvmlEventSetCreate", Xids::new(nvml)) };
        if let Some(xids) = &mut xids {
            for gpu in &mut gpus {
                let watched = failures.ok("nvmlDeviceRegisterEvents", xids.watch(&gpu.device));
                gpu.identity.xid_watched = watched.is_some();
            }
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
        }
    }

    /// True where the library should be loaded anew: no GPU was found, one was lost, or their number has changed.
    pub(super) fn should_reopen(&mut self, record: &mut Record, options: &Options) -> bool {
        if self.opened.elapsed() < options.retry {
            return false;
        }
        if self.checked.elapsed() >= options.retry {
            self.checked = Instant::now();
            let count = record.failures.ok("nvmlDeviceGetCount_v2", self.nvml.device_count());
            self.stale |= count.is_none_or(|count| count.min(GPUS_MAX) as usize != self.gpus.len());
        }
        self.stale || self.gpus.iter().any(|gpu| gpu.lost)
    }

    /// Takes a sample of everything that changes fast.
    pub(super) fn sample(&mut self, record: &mut Record) {
        for gpu in self.gpus.iter_mut().filter(|gpu| !gpu.lost) {
            let history = record.histories.entry(gpu.key()).or_default();
            gpu.lost = gpu.sample(history, &mut record.failures);
        }
    }

    /// Reads everything.
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
        Reading {
            taken: Some(begun),
            duration: begun.elapsed(),
            up: true,
            finding: format!("{} GPUs, driver {}", rows.len(), self.driver_version),
            driver_version: self.driver_version.clone(),
            gpus: rows,
            containers,
            failures: record.failures.all(),
        }
    }

    /// Waits for `timeout`, and counts the Xid errors of that time.
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
                    if let Some(gpu) = self.gpus.iter().find(|gpu| xid.is_of(&gpu.device)) {
                        tracing::warn!("GPU {}: Xid {}", gpu.identity.index, xid.number);
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
        // Nobody to wait for, or the wait has failed at once.
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
    let failures = &mut record.failures;
    if gpu.lost {
        return (lost(gpu, history), Vec::new());
    }
    let mut calls = Calls { failures, resting: &mut history.resting, lost: false };
    let mut row = gpu.read(nvml, &mut calls);
    let mut shares = Vec::new();
    if !calls.lost {
        shares = history.accounts.read(&gpu.device, &mut row, &mut calls, &mut record.owners, now);
    }
    gpu.lost = calls.lost;
    if !gpu.lost {
        gpu.lost = gpu.read_fields(&mut row, history, failures);
    }
    if gpu.lost {
        return (lost(gpu, history), Vec::new());
    }
    row.utilization_samples.clone_from(&history.utilization);
    row.utilization_max_ratio = history.utilization_peak.max(now);
    row.power_max_watts = history.power_peak.max(now);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was a whole number of bytes"
    )]
    let bytes = |real: f64| real as u64;
    row.memory_used_max_bytes = history.memory_peak.max(now).map(bytes);
    add_xids(&mut row, history);
    (row, shares)
}

/// A GPU that is not there: who it was, and the errors that it went with.
fn lost(gpu: &Watched<'_>, history: &History) -> Gpu {
    let mut row = gpu.identity.clone();
    add_xids(&mut row, history);
    row
}

fn add_xids(row: &mut Gpu, history: &History) {
    row.xids = history.xids.iter().map(|(number, count)| (*number, *count)).collect();
    row.last_xid = history.last_xid;
}
