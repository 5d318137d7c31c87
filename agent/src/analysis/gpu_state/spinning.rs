//! Recognizes containers whose GPUs look busy and do nothing: a kernel waits in a loop for something that does not come,
//! as in a collective operation (NCCL) of which one process has died. NVML's utilization is 100 % then, because it only
//! shows whether a kernel runs.
//!
//! A GPU looks busy and does nothing if all of this is true:
//! - its utilization is at least [`UTILIZATION_MIN`];
//! - its memory is used for at most [`MEMORY_MAX`] of the time, if that is known: real work reads and writes memory;
//! - its power is at most that of the idle GPU and [`POWER_SHARE`] of the range from there to its limit. The power of the
//!   idle GPU is the lowest that was read while no kernel ran. If the agent has not seen the GPU idle, the power is at most
//!   [`POWER_SHARE_OF_LIMIT`] of the limit.
//!
//! A container makes progress if it works with memory, contexts or channels of the driver, ends a wait for the GPU, begins or
//! ends a response, processes a frame of a video, or ends a job. Other calls to the driver do not count, because programs that
//! watch the GPU (NVML) make them even while it hangs. A container is not considered spinning if its calls to the driver are not
//! traced.
//!
//! A container spins if that is true of each GPU with its kernels, and no container with kernels on one of them makes
//! progress. Reads nothing itself; uses some 100 bytes per GPU and per container on a GPU.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::BUSY_RATIO;
use crate::{
    analysis::work::Progress,
    snapshot::{
        ContainerRow,
        gpu::{ContainerGpu, Gpu},
        nvidia_driver::DriverUsage,
    },
};

/// Minimum utilization of the GPU.
const UTILIZATION_MIN: f64 = 0.95;
/// Maximum share of time in which its memory is read or written. NVML reports whole percents.
const MEMORY_MAX: f64 = 0.01;
/// Maximum power above that of the idle GPU, as a share of the range up to its limit.
const POWER_SHARE: f64 = 0.15;
/// Maximum power as a share of the limit, if the power of the idle GPU is not known.
const POWER_SHARE_OF_LIMIT: f64 = 0.25;

/// What is known of all GPUs and of the containers on them.
#[derive(Debug, Default)]
pub(super) struct Spinning {
    /// By unique ID.
    gpus: HashMap<String, Watched>,
    /// By key.
    containers: HashMap<u64, Quiet>,
    /// Since when the containers have been spinning, by key.
    since: HashMap<u64, Instant>,
}

/// What is known of a GPU.
#[derive(Debug, Default)]
struct Watched {
    /// The lowest power while no kernel ran.
    idle_watts: Option<f64>,
    /// Since when it has looked busy and done nothing.
    since: Option<Instant>,
}

/// What is known of the progress of a container.
#[derive(Debug)]
struct Quiet {
    marks: Marks,
    /// The last progress, or the first reading.
    since: Instant,
}

/// Counters that change with progress.
#[derive(Debug, PartialEq, Eq)]
struct Marks {
    driver_work: u64,
    responses: u64,
    frames: u64,
    jobs: u64,
}

impl Marks {
    fn of(row: &ContainerRow) -> Self {
        let progress = Progress::of(row);
        let functions = row.jobs.iter().flat_map(|jobs| &jobs.functions);
        Self {
            driver_work: row.nvidia_driver.as_deref().map_or(0, driver_work),
            responses: progress.responses,
            frames: progress.frames,
            jobs: functions.flat_map(|function| function.counters.ended).fold(0, u64::saturating_add),
        }
    }
}

/// Calls and bytes of memory management, and waits that have ended. NVML makes no such calls.
fn driver_work(driver: &DriverUsage) -> u64 {
    let counters = &driver.counters;
    let memory = [counters.allocations, counters.freed_bytes, counters.pinned_bytes];
    let objects = [counters.contexts, counters.channels, counters.events];
    let calls = driver.commands.iter().filter(|command| command.device == "uvm");
    let waits = driver.polls.iter().filter(|(device, _)| *device == "gpu");
    let ended = calls.map(|command| command.durations.count()).chain(waits.map(|(_, waits)| waits.count()));
    memory.into_iter().chain(objects).chain(ended).fold(0, u64::wrapping_add)
}

impl Watched {
    fn read(&mut self, gpu: &Gpu, now: Instant) {
        if gpu.utilization_ratio == Some(0.0)
            && let Some(watts) = gpu.power_watts
        {
            self.idle_watts = Some(self.idle_watts.map_or(watts, |lowest| lowest.min(watts)));
        }
        self.since = self.does_nothing(gpu).then(|| self.since.unwrap_or(now));
    }

    fn does_nothing(&self, gpu: &Gpu) -> bool {
        let is_utilized = gpu.utilization_ratio.is_some_and(|ratio| ratio >= UTILIZATION_MIN);
        let is_memory_idle = gpu.memory_utilization_ratio.is_none_or(|ratio| ratio <= MEMORY_MAX);
        let Some((watts, limit)) = gpu.power_watts.zip(gpu.power_limit_watts) else { return false };
        let little = match self.idle_watts {
            Some(idle) => idle + (limit - idle) * POWER_SHARE,
            None => limit * POWER_SHARE_OF_LIMIT,
        };
        is_utilized && is_memory_idle && watts <= little
    }
}

/// The GPUs with kernels of a container.
fn used(row: &ContainerRow) -> impl Iterator<Item = &ContainerGpu> {
    row.gpus.iter().filter(|gpu| gpu.utilization_ratio.is_some_and(|ratio| ratio >= BUSY_RATIO))
}

impl Spinning {
    /// Reads one tick. `is_traced` is whether a container without calls to the driver certainly made none.
    pub(super) fn read(&mut self, gpus: &[Gpu], rows: &[ContainerRow], is_traced: bool, now: Instant) {
        let mut watched = HashMap::with_capacity(gpus.len());
        for gpu in gpus.iter().filter(|gpu| !gpu.uuid.is_empty()) {
            let mut known = self.gpus.remove(&gpu.uuid).unwrap_or_default();
            known.read(gpu, now);
            watched.insert(gpu.uuid.clone(), known);
        }
        self.gpus = watched;
        let running = || rows.iter().filter(|row| row.ended_at.is_none() && !row.gpus.is_empty());
        let mut containers = HashMap::with_capacity(self.containers.len());
        for row in running() {
            let marks = Marks::of(row);
            let is_known = is_traced || row.nvidia_driver.is_some();
            let before = self.containers.remove(&row.key).filter(|quiet| is_known && quiet.marks == marks);
            containers.insert(row.key, Quiet { marks, since: before.map_or(now, |quiet| quiet.since) });
        }
        self.containers = containers;
        // The last progress of any container with kernels, by GPU.
        let mut progress: HashMap<&str, Instant> = HashMap::new();
        for row in running() {
            let Some(quiet) = self.containers.get(&row.key) else { continue };
            for gpu in used(row) {
                let last = progress.entry(&gpu.uuid).or_insert(quiet.since);
                *last = quiet.since.max(*last);
            }
        }
        let since = |gpu: &ContainerGpu| {
            let watched = self.gpus.get(&gpu.uuid)?.since?;
            Some(watched.max(*progress.get(gpu.uuid.as_str())?))
        };
        let spins = |row: &ContainerRow| {
            let all: Option<Vec<Instant>> = used(row).map(since).collect();
            all?.into_iter().max()
        };
        self.since = running().filter_map(|row| Some((row.key, spins(row)?))).collect();
    }

    /// How long a container has been spinning.
    pub(super) fn of(&self, key: u64, now: Instant) -> Option<Duration> {
        self.since.get(&key).map(|since| now.duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{identity::Identity, nvidia_driver::CommandUsage, scheduler::Histogram};

    /// A host with GPUs and containers on them, and its time in seconds.
    struct Host {
        spinning: Spinning,
        gpus: Vec<Gpu>,
        rows: Vec<ContainerRow>,
        begun: Instant,
        second: u64,
        is_traced: bool,
    }

    impl Host {
        /// Two GPUs that look busy and do nothing, and containers with kernels on these GPUs.
        fn new(containers: &[&[u32]]) -> Self {
            let gpu = |index: u32| Gpu {
                index,
                uuid: format!("GPU-{index}"),
                utilization_ratio: Some(1.0),
                memory_utilization_ratio: Some(0.0),
                power_watts: Some(70.0),
                power_limit_watts: Some(400.0),
                ..Gpu::default()
            };
            let row = |(key, gpus): (u64, &&[u32])| {
                let identity = std::sync::Arc::new(Identity::default());
                let mut row = ContainerRow::new(identity, std::time::SystemTime::UNIX_EPOCH);
                row.key = key;
                let on = |index: &u32| ContainerGpu {
                    index: *index,
                    uuid: format!("GPU-{index}"),
                    utilization_ratio: Some(0.5),
                    ..ContainerGpu::default()
                };
                row.gpus = gpus.iter().map(on).collect();
                row
            };
            Self {
                spinning: Spinning::default(),
                gpus: vec![gpu(0), gpu(1)],
                rows: (0..).zip(containers).map(row).collect(),
                begun: Instant::now(),
                second: 0,
                is_traced: true,
            }
        }

        /// For how many seconds each container has been spinning, after some time.
        fn after(&mut self, seconds: u64) -> Vec<Option<u64>> {
            self.second += seconds;
            let now = self.begun + Duration::from_secs(self.second);
            self.spinning.read(&self.gpus, &self.rows, self.is_traced, now);
            self.rows.iter().map(|row| self.spinning.of(row.key, now).map(|spins| spins.as_secs())).collect()
        }
    }

    #[test]
    fn a_container_spins_while_its_gpu_looks_busy_and_draws_little_power() {
        let mut host = Host::new(&[&[0]]);
        assert_eq!(host.after(0), [Some(0)]);
        assert_eq!(host.after(40), [Some(40)]);
        for (name, change) in [
            ("power", (|gpu: &mut Gpu| gpu.power_watts = Some(101.0)) as fn(&mut Gpu)),
            ("no power", |gpu| gpu.power_watts = None),
            ("no limit", |gpu| gpu.power_limit_watts = None),
            ("idle moments", |gpu| gpu.utilization_ratio = Some(0.9)),
            ("unknown utilization", |gpu| gpu.utilization_ratio = None),
            ("memory", |gpu| gpu.memory_utilization_ratio = Some(0.02)),
        ] {
            let mut host = Host::new(&[&[0]]);
            host.after(0);
            change(&mut host.gpus[0]);
            assert_eq!(host.after(40), [None], "{name}");
        }
    }

    #[test]
    fn little_power_is_relative_to_the_idle_gpu_once_it_was_seen() {
        let mut host = Host::new(&[&[0]]);
        let mut read = |watts, utilization| {
            (host.gpus[0].power_watts, host.gpus[0].utilization_ratio) = (Some(watts), Some(utilization));
            host.after(1)[0].is_some()
        };
        assert!(!read(20.0, 0.0));
        assert!(!read(90.0, 0.0), "power falls some time after the work");
        // 20 W and 15 % of 380 W.
        assert!(read(77.0, 1.0));
        assert!(!read(78.0, 1.0));
    }

    #[test]
    fn memory_that_is_not_measured_does_not_matter() {
        let mut host = Host::new(&[&[0]]);
        host.gpus[0].memory_utilization_ratio = None;
        assert_eq!(host.after(0), [Some(0)]);
    }

    #[test]
    fn progress_ends_it() {
        let mut host = Host::new(&[&[0]]);
        host.after(0);
        host.rows[0].nvidia_driver = Some(Box::new(DriverUsage::default()));
        assert_eq!(host.after(40), [Some(40)]);
        let mut ended = Histogram::default();
        ended.buckets[3] = 1;
        let call = |device| CommandUsage { device, command: "x".into(), durations: ended };
        let driver = host.rows[0].nvidia_driver.as_mut().unwrap();
        (driver.commands, driver.in_flight) = (vec![call("gpu"), call("ctl")], 1);
        assert_eq!(host.after(1), [Some(41)], "nvidia-smi makes such calls");
        let driver = host.rows[0].nvidia_driver.as_mut().unwrap();
        driver.commands.push(call("uvm"));
        assert_eq!(host.after(1), [Some(0)], "memory was mapped");
        let driver = host.rows[0].nvidia_driver.as_mut().unwrap();
        driver.counters.allocations = 1;
        assert_eq!(host.after(1), [Some(0)], "memory was allocated");
        let driver = host.rows[0].nvidia_driver.as_mut().unwrap();
        driver.polls = vec![("gpu", ended)];
        assert_eq!(host.after(1), [Some(0)], "a wait has ended");
        assert_eq!(host.after(30), [Some(30)]);
    }

    #[test]
    fn a_container_whose_calls_are_not_traced_is_not_known_to_spin() {
        let mut host = Host::new(&[&[0]]);
        host.is_traced = false;
        host.after(0);
        assert_eq!(host.after(40), [Some(0)]);
        host.rows[0].nvidia_driver = Some(Box::new(DriverUsage::default()));
        host.after(1);
        assert_eq!(host.after(40), [Some(41)], "known from the first call on");
    }

    #[test]
    fn the_progress_of_another_container_on_the_gpu_counts() {
        let mut host = Host::new(&[&[0], &[0], &[1]]);
        host.after(0);
        assert_eq!(host.after(40), [Some(40); 3]);
        let mut busy = DriverUsage::default();
        busy.counters.channels = 3;
        host.rows[1].nvidia_driver = Some(Box::new(busy));
        assert_eq!(host.after(1), [Some(0), Some(0), Some(41)]);
        // Without kernels on the GPU, its calls do not matter.
        host.rows[1].gpus[0].utilization_ratio = Some(0.0);
        assert_eq!(host.after(1), [Some(42), None, Some(42)]);
    }

    #[test]
    fn a_container_spins_only_if_all_gpus_with_its_kernels_do_nothing() {
        let mut host = Host::new(&[&[0, 1]]);
        host.after(0);
        host.gpus[1].power_watts = Some(300.0);
        assert_eq!(host.after(40), [None]);
        host.rows[0].gpus[1].utilization_ratio = Some(0.0);
        assert_eq!(host.after(1), [Some(41)]);
    }

    #[test]
    fn a_gpu_or_a_container_that_is_gone_is_forgotten() {
        let mut host = Host::new(&[&[0]]);
        host.after(0);
        host.rows[0].ended_at = Some(std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(host.after(40), [None]);
        (host.gpus, host.rows) = (Vec::new(), Vec::new());
        host.after(1);
        assert!(host.spinning.gpus.is_empty() && host.spinning.containers.is_empty());
    }
}
