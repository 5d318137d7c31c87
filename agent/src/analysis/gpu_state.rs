//! Derives the GPU state of each container, one of eight, from the values of several collectors. Reads nothing itself.
//! The decision table is in the documentation of [`decide`].

mod evidence;
mod on_cpu;
mod spinning;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use self::{
    evidence::{Before, evidence},
    spinning::Spinning,
};
use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot, gpu_state::GpuState, host::Host},
};

/// Calls that take longer are considered stuck. The longest calls that CUDA makes, pinning many GB, take seconds.
const STUCK: Duration = Duration::from_secs(10);
/// A container is loading for this long after it got GPU memory, a context or a channel.
const LOADING: Duration = Duration::from_secs(5);
/// A GPU that looks busy and does nothing for this long is spinning. A program may wait for another one meanwhile.
const SPINNING: Duration = Duration::from_secs(30);
/// Minimum utilization that counts as work. Lower values come from housekeeping of the driver.
const BUSY_RATIO: f64 = 0.01;

/// The data about a container at one tick; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Whether the driver has given it GPU memory, a context or a channel. A program that only queries the driver, such
    /// as nvidia-smi, gets none of these.
    pub granted: Option<bool>,
    /// Time since a call last started or ended, if calls are in flight.
    pub waiting: Option<Duration>,
    /// Whether it was given GPUs, uses an inference library, has loaded a model, and uses the CPUs as inference does, and NVML
    /// lists the processes on GPUs.
    pub computes_on_cpu: bool,
    /// Time for which its GPUs have looked busy and done nothing.
    pub spinning: Option<Duration>,
    /// Its highest utilization of any GPU.
    pub utilization_ratio: Option<f64>,
    /// Whether NVML reports its processes or their work on a GPU.
    pub seen_on_gpu: bool,
    /// Time its threads waited for a CPU, divided by the time they were runnable or running.
    pub cpu_wait_share: Option<f64>,
    /// Time its threads waited for a CPU, in seconds per second.
    pub cpu_wait_rate: Option<f64>,
    /// Time since it last got GPU memory, a context or a channel.
    pub grew: Option<Duration>,
}

/// Applies the decision table; the first row that applies determines the state. A row does not apply if its data is
/// unknown. If the utilization is unknown, `busy` and the rows below it cannot be distinguished, and there is no state.
///
/// | state | condition |
/// |---|---|
/// | `stuck_in_driver` | calls to the driver are in flight, and none has started or ended for 10 s |
/// | `on_cpu_despite_gpu` | as `no_gpu`, and NVML lists the processes on GPUs, and the container was given GPUs, has an inference library mapped, has loaded a model, and used more than one CPU or more than half of its quota in the last 30 s |
/// | `no_gpu` | the driver never gave it GPU memory, a context or a channel, and NVML does not report it on a GPU |
/// | `spinning` | for 30 s, its GPUs were utilized to at least 95 % and drew little more power than an idle GPU, and none of the containers that use them made progress |
/// | `busy` | its utilization of a GPU is 1 % or more |
/// | `waiting_for_cpu` | its threads waited for CPUs longer than they ran, and at least 0.1 s per second |
/// | `loading` | it got GPU memory, a context or a channel within the last 5 s |
/// | `idle_with_memory` | none of the above |
///
/// A model counts as loaded if a model file of 1 MiB or more was mapped or read, or if the container has
/// 256 MiB of anonymous memory. Without lists of processes, the agent may have missed a context that is older than
/// itself, so there is no `on_cpu_despite_gpu`. The documentation of the module `spinning` defines little power and progress.
#[must_use]
pub fn decide(evidence: &Evidence) -> Option<GpuState> {
    // Checked first, because the first call of a container may already hang.
    if evidence.waiting.is_some_and(|waiting| waiting >= STUCK) {
        return Some(GpuState::StuckInDriver);
    }
    if evidence.granted == Some(false) && !evidence.seen_on_gpu {
        // The utilization is known only if NVML works.
        let is_unused = evidence.computes_on_cpu && evidence.utilization_ratio.is_some();
        return Some(if is_unused { GpuState::OnCpuDespiteGpu } else { GpuState::NoGpu });
    }
    let utilization = evidence.utilization_ratio?;
    if utilization >= BUSY_RATIO && evidence.spinning.is_some_and(|spinning| spinning >= SPINNING) {
        return Some(GpuState::Spinning);
    }
    if utilization >= BUSY_RATIO {
        return Some(GpuState::Busy);
    }
    let starved = evidence.cpu_wait_share.is_some_and(|share| share > 0.5);
    if starved && evidence.cpu_wait_rate.is_some_and(|rate| rate >= 0.1) {
        return Some(GpuState::WaitingForCpu);
    }
    if evidence.grew.is_some_and(|grew| grew < LOADING) {
        return Some(GpuState::Loading);
    }
    Some(GpuState::Idle)
}

/// The available sources.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// Whether this host has an NVIDIA driver or a GPU that NVML reports. Otherwise containers have no GPU state.
    pub present: bool,
    /// Whether calls to the driver are traced, or there is no driver.
    pub driver: bool,
    /// Whether NVML is up.
    pub nvml: bool,
    /// Whether NVML lists the processes on every GPU that responds. With drivers before 510, it does not.
    pub lists_processes: bool,
}

impl Sources {
    /// The sources of a host.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let nvml = host.nvml.as_ref().is_some_and(|nvml| nvml.up);
        let driver = host.nvidia_tracing.unwrap_or_default();
        let mut responding = host.gpus.iter().filter(|gpu| gpu.up);
        let lists_processes = nvml && responding.all(|gpu| !gpu.processes.is_empty());
        let present = nvml || !host.gpus.is_empty() || driver.is_present;
        Self { present, driver: driver.is_complete, nvml, lists_processes }
    }
}

/// Derives the state of every container at every tick.
#[derive(Default)]
pub struct GpuStates {
    before: HashMap<u64, Before>,
    spinning: Spinning,
}

impl GpuStates {
    /// Sets the GPU state of all containers. A container that has ended keeps its last state.
    pub fn fill(&mut self, rows: &mut [ContainerRow], recent: Recent<'_>, sources: Sources, now: Instant) {
        let mut seen = HashMap::with_capacity(self.before.len());
        for row in rows {
            if row.ended_at.is_some() {
                row.gpu_state = recent.container(row.key).and_then(|row| row.gpu_state);
                continue;
            }
            let mut before = self.before.remove(&row.key);
            let mut evidence = evidence(row, sources, &mut before, now);
            evidence.spinning = self.spinning.of(row.key, now);
            let present = sources.present || row.nvidia_driver.is_some();
            row.gpu_state = present.then(|| decide(&evidence)).flatten();
            seen.extend(before.map(|before| (row.key, before)));
        }
        self.before = seen;
    }
}

impl Derivation for GpuStates {
    fn derive(&mut self, snapshot: &mut Snapshot, recent: Recent<'_>, now: Moment) {
        let sources = Sources::of(&snapshot.host);
        self.spinning.read(&snapshot.host.gpus, &snapshot.containers, sources.driver, now.monotonic);
        self.fill(&mut snapshot.containers, recent, sources, now.monotonic);
    }
}

#[cfg(test)]
mod tests;
