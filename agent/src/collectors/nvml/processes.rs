//! Each process's use of a GPU, summed per container.
//!
//! NVML is unreliable here. Samples occasionally lack a busy process, so its last value is kept for a moment
//! ([`HOLD`]). Impossible values are dropped ([`Checks`]). "Not found" means that no process was active. The memory of
//! a process may be unknown or impossible, and its container's sum is then unknown. Samples are old, so the owner is
//! looked up as of the time of the sample. If the agent is not in the host's PID namespace, process IDs are
//! meaningless, and all owners are unknown.
//!
//! The energy that the GPU used between two rounds is divided in proportion to the utilization of each process. Energy
//! used while no process was active is not assigned.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use nvml_wrapper::{Device, enums::device::UsedGpuMemory, struct_wrappers::device::ProcessUtilizationSample};

use super::{
    calls::Calls,
    cursor::Cursor,
    owner::{Owner, Owners, SinceBoot},
    plausible::{Checks, Quantity},
};
use crate::snapshot::gpu::{ContainerGpu, Gpu};

/// How long the value of a process that is missing from the next samples is kept, at least; otherwise two rounds.
const HOLD: Duration = Duration::from_secs(3);
/// Maximum number of containers with accounts on one GPU.
const ACCOUNTS_MAX: usize = 4096;
/// An account is removed after this time without activity.
const CLOSE_AFTER: Duration = Duration::from_secs(3600);

/// Use of one GPU per container, since the agent started.
#[derive(Default)]
pub(super) struct Accounts {
    cursor: Cursor,
    last: HashMap<u32, Sample>,
    by_container: HashMap<Arc<str>, Account>,
    /// True once the GPU has reported energy.
    counts_energy: bool,
    settled: Option<Instant>,
}

/// The last sample of a process.
struct Sample {
    use_: Use,
    taken: SinceBoot,
    seen: Instant,
}

/// Ratios; `None` if NVML reported an impossible value.
#[derive(Clone, Copy, Default)]
struct Use {
    sm: Option<f64>,
    memory: Option<f64>,
    encoder: Option<f64>,
    decoder: Option<f64>,
}

#[derive(Default)]
struct Account {
    busy: Duration,
    joules: f64,
    touched: Option<Instant>,
}

/// The results of one round; `None` for failed calls.
struct Answers {
    /// Memory by process; the inner value is `None` if it is unknown.
    memory: Option<HashMap<u32, Option<u64>>>,
    utilization: Option<Vec<ProcessUtilizationSample>>,
    /// Energy of the GPU since the last round, in mJ.
    used_mj: Option<u64>,
    asked: SinceBoot,
}

/// The sum over a container's processes in one round.
#[derive(Default)]
struct Sum {
    processes: u64,
    memory: u64,
    memory_unknown: bool,
    sm: f64,
    memory_use: f64,
    encoder: f64,
    decoder: f64,
}

impl Accounts {
    /// Reads the processes of a GPU, completes the GPU's row and returns the use by containers. `used_mj` is the energy
    /// that the GPU used since the last round.
    pub(super) fn read(
        &mut self,
        device: &Device<'_>,
        gpu: &mut Gpu,
        used_mj: Option<u64>,
        calls: &mut Calls<'_>,
        owners: &mut Owners,
        now: Instant,
    ) -> Vec<(Arc<str>, ContainerGpu)> {
        let asked = SinceBoot::now();
        let seen_us = self.cursor.seen_us();
        let answers = Answers {
            memory: memory_by_process(device, gpu.memory_total_bytes, calls),
            utilization: calls.call_or_empty("nvmlDeviceGetProcessUtilization", || {
                device.process_utilization_stats(seen_us)
            }),
            used_mj,
            asked,
        };
        if calls.lost {
            return Vec::new();
        }
        self.settle(answers, gpu, calls.checks, owners, now)
    }

    fn settle(
        &mut self,
        answers: Answers,
        gpu: &mut Gpu,
        checks: &mut Checks,
        owners: &mut Owners,
        now: Instant,
    ) -> Vec<(Arc<str>, ContainerGpu)> {
        let elapsed = self.settled.replace(now).map_or(Duration::ZERO, |last| now.duration_since(last));
        let uses_known = answers.utilization.is_some();
        self.take(answers.utilization.unwrap_or_default(), checks, now);
        let hold = HOLD.max(elapsed * 2);
        self.last.retain(|_, sample| now.duration_since(sample.seen) <= hold);

        let mut sums: HashMap<Owner, Sum> = HashMap::new();
        for (pid, memory) in answers.memory.iter().flatten() {
            let sum = sums.entry(owners.of(*pid, answers.asked)).or_default();
            sum.processes += 1;
            sum.memory = sum.memory.saturating_add(memory.unwrap_or(0));
            sum.memory_unknown |= memory.is_none();
        }
        for (pid, sample) in &self.last {
            let sum = sums.entry(owners.of(*pid, sample.taken)).or_default();
            sum.sm += sample.use_.sm.unwrap_or(0.0);
            sum.memory_use += sample.use_.memory.unwrap_or(0.0);
            sum.encoder += sample.use_.encoder.unwrap_or(0.0);
            sum.decoder += sample.use_.decoder.unwrap_or(0.0);
        }
        if answers.memory.is_some() {
            let count = |wanted: fn(&Owner) -> bool| {
                sums.iter().filter(|(owner, _)| wanted(owner)).map(|(_, sum)| sum.processes).sum()
            };
            gpu.processes = vec![
                ("container", count(|owner| matches!(owner, Owner::Container(_)))),
                ("host", count(|owner| *owner == Owner::Host)),
                ("unknown", count(|owner| *owner == Owner::Unknown)),
            ];
        }
        // The memory of each process is possible, but memory shared by processes is counted for each of them, so the
        // sum may be impossible.
        for sum in sums.values_mut().filter(|sum| !sum.memory_unknown) {
            let total = gpu.memory_total_bytes;
            sum.memory_unknown = checks.count_within(Quantity::ProcessMemory, sum.memory, total).is_none();
        }
        self.charge(&sums, answers.used_mj, elapsed, now);
        let known = Known { memory: answers.memory.is_some(), uses: uses_known };
        self.rows(&sums, gpu, known)
    }

    /// Adds new samples.
    fn take(&mut self, samples: Vec<ProcessUtilizationSample>, checks: &mut Checks, now: Instant) {
        let samples = samples.into_iter().map(|sample| (sample.timestamp, sample));
        let samples: Vec<_> =
            samples.filter(|(timestamp_us, _)| checks.is_sample_time(*timestamp_us)).collect();
        for sample in self.cursor.news(samples.into_iter(), now) {
            let mut ratio = |percent| checks.ratio(percent);
            let use_ = Use {
                sm: ratio(sample.sm_util),
                memory: ratio(sample.mem_util),
                encoder: ratio(sample.enc_util),
                decoder: ratio(sample.dec_util),
            };
            let taken = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(sample.timestamp));
            let taken = taken.map_or_else(SinceBoot::now, SinceBoot::of);
            match self.last.get(&sample.pid) {
                // The latest sample of a process is its current use.
                Some(last) if last.seen == now && last.taken > taken => {}
                _ => {
                    self.last.insert(sample.pid, Sample { use_, taken, seen: now });
                }
            }
        }
    }

    /// Adds active time and energy to the accounts of containers.
    fn charge(&mut self, sums: &HashMap<Owner, Sum>, used_mj: Option<u64>, elapsed: Duration, now: Instant) {
        self.counts_energy |= used_mj.is_some();
        #[expect(clippy::cast_precision_loss, reason = "the energy of a few seconds is far below 2^53 mJ")]
        let used_joules = used_mj.unwrap_or(0) as f64 / 1_000.0;
        let all: f64 = sums.values().map(|sum| sum.sm).sum();
        for (owner, sum) in sums {
            let Owner::Container(path) = owner else { continue };
            if self.by_container.len() >= ACCOUNTS_MAX && !self.by_container.contains_key(path) {
                continue;
            }
            let account = self.by_container.entry(path.clone()).or_default();
            account.touched = Some(now);
            account.busy += elapsed.mul_f64(sum.sm.min(1.0));
            if all > 0.0 {
                account.joules += used_joules * (sum.sm / all);
            }
        }
        let is_open = |account: &Account| {
            account.touched.is_some_and(|touched| now.duration_since(touched) < CLOSE_AFTER)
        };
        self.by_container.retain(|_, account| is_open(account));
    }

    /// A row for every container that has an account.
    fn rows(&self, sums: &HashMap<Owner, Sum>, gpu: &Gpu, known: Known) -> Vec<(Arc<str>, ContainerGpu)> {
        let none = Sum::default();
        let row = |(path, account): (&Arc<str>, &Account)| {
            let sum = sums.get(&Owner::Container(path.clone())).unwrap_or(&none);
            let use_ = |ratio: f64| known.uses.then(|| ratio.min(1.0));
            let memory = (known.memory && !sum.memory_unknown).then_some(sum.memory);
            #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes does not need exact precision")]
            let part = |bytes: u64, all: u64| bytes as f64 / all as f64;
            let row = ContainerGpu {
                index: gpu.index,
                uuid: gpu.uuid.clone(),
                processes: known.memory.then_some(sum.processes),
                utilization_ratio: use_(sum.sm),
                memory_utilization_ratio: use_(sum.memory_use),
                encoder_ratio: use_(sum.encoder),
                decoder_ratio: use_(sum.decoder),
                memory_used_bytes: memory,
                memory_used_ratio: memory
                    .zip(gpu.memory_total_bytes.filter(|total| *total > 0))
                    .map(|(memory, total)| part(memory, total)),
                busy: account.busy,
                energy_joules: self.counts_energy.then_some(account.joules),
            };
            (path.clone(), row)
        };
        self.by_container.iter().map(row).collect()
    }
}

/// The calls that succeeded.
#[derive(Clone, Copy)]
struct Known {
    memory: bool,
    uses: bool,
}

/// Memory of compute, graphics and MPS processes. A process in two lists counts once; a process in two instances counts
/// twice.
fn memory_by_process(
    device: &Device<'_>,
    total_bytes: Option<u64>,
    calls: &mut Calls<'_>,
) -> Option<HashMap<u32, Option<u64>>> {
    let compute =
        calls.ask("nvmlDeviceGetComputeRunningProcesses_v3", || device.running_compute_processes())?;
    let graphics =
        calls.ask("nvmlDeviceGetGraphicsRunningProcesses_v3", || device.running_graphics_processes());
    let mps =
        calls.ask("nvmlDeviceGetMPSComputeRunningProcesses_v3", || device.mps_running_compute_processes());
    let mut by_instance: HashMap<(u32, Option<u32>), Option<u64>> = HashMap::new();
    for process in compute.into_iter().chain(graphics.into_iter().flatten()).chain(mps.into_iter().flatten())
    {
        let memory = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => {
                calls.checks.count_within(Quantity::ProcessMemory, bytes, total_bytes)
            }
            UsedGpuMemory::Unavailable => None,
        };
        let held = by_instance.entry((process.pid, process.gpu_instance_id)).or_insert(memory);
        *held = (*held).max(memory);
    }
    let mut by_process: HashMap<u32, Option<u64>> = HashMap::new();
    for ((pid, _), memory) in by_instance {
        let sum = by_process.entry(pid).or_insert(Some(0));
        *sum = sum.zip(memory).map(|(sum, memory)| sum.saturating_add(memory));
    }
    Some(by_process)
}
