//! What each container is doing with its GPUs: one of six states, fused from what the other collectors read before.
//! Costs nothing to read; see [`decide`] for the table.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Collector, Context, Spec};
use crate::{
    containers::tracker::Container,
    snapshot::{ContainerRow, gpu_state::GpuState},
};

/// The registry's row; after all whose rows it reads.
pub const SPEC: Spec = Spec {
    name: "gpu_state",
    summary: "loading, busy, idle, waiting for a CPU or stuck in the driver, from all of the above",
    start,
};

/// A call to the driver that takes longer hangs: the longest that CUDA makes, pinning many GB, take seconds.
const STUCK: Duration = Duration::from_secs(10);
/// GPU memory that grew or a context that was made this recently is loading.
const LOADING: Duration = Duration::from_secs(5);
/// Utilisation from here on is work; below are the driver's own chores.
const BUSY_RATIO: f64 = 0.01;

/// What is known of a container at one tick. `None` is not known.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    /// It has called the driver.
    called: Option<bool>,
    /// Time since a call of those in flight began or ended.
    waiting: Option<Duration>,
    /// The highest utilisation of a GPU by it.
    utilization_ratio: Option<f64>,
    /// NVML sees it on a GPU.
    seen_on_gpu: bool,
    /// Share of the time in which its threads were ready to run that they had no CPU.
    cpu_wait_share: Option<f64>,
    /// Its waits for a CPU, in seconds per second.
    cpu_wait_rate: Option<f64>,
    /// Time since it last got GPU memory, or a context or a channel.
    grew: Option<Duration>,
}

/// The decision table; the first row that holds decides. Where what a row asks is not known, it does not hold, and where
/// whether a GPU works for the container is not known, the rows below that are not told apart and there is no state.
///
/// | state | holds where |
/// |---|---|
/// | `no_gpu` | it never called the driver, and NVML does not see it |
/// | `stuck_in_driver` | calls are in flight, and for 10 s none began or ended |
/// | `busy` | a GPU was utilised by it for 1 % or more |
/// | `waiting_for_cpu` | its threads waited for CPUs longer than they ran, and 0.1 s a second or more |
/// | `loading` | it got GPU memory, a context or a channel within 5 s |
/// | `idle_with_memory` | else |
fn decide(evidence: &Evidence) -> Option<GpuState> {
    if evidence.called == Some(false) && !evidence.seen_on_gpu {
        return Some(GpuState::NoGpu);
    }
    if evidence.waiting.is_some_and(|waiting| waiting >= STUCK) {
        return Some(GpuState::StuckInDriver);
    }
    let utilization = evidence.utilization_ratio?;
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

/// What is remembered of a container from tick to tick.
struct Before {
    read: Instant,
    wait_ns: u64,
    oncpu_ns: u64,
    grown: u64,
    grew: Option<Instant>,
}

#[derive(Default)]
struct GpuStates {
    before: HashMap<u64, Before>,
}

fn start(_context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    Ok(Box::new(GpuStates::default()))
}

impl GpuStates {
    fn evidence(&mut self, key: u64, row: &ContainerRow, now: Instant) -> Evidence {
        let driver = row.nvidia_driver.as_ref();
        let scheduler = row.scheduler.as_ref();
        let (wait_ns, oncpu_ns) = scheduler.map_or((0, 0), |usage| (usage.waits.sum_ns, usage.oncpu_ns));
        let grown = driver.map_or(0, |driver| {
            let meaning = &driver.meaning;
            meaning.allocations + meaning.contexts + meaning.channels
        });
        let mut evidence = Evidence {
            // Without the driver's programs it is not known who calls.
            called: (driver.is_some() || row.nvidia_driver_watched).then_some(driver.is_some()),
            waiting: driver.and_then(|driver| driver.waiting),
            utilization_ratio: row.gpus_read.then(|| {
                row.gpus.iter().filter_map(|gpu| gpu.utilization_ratio).fold(0.0, f64::max)
            }),
            seen_on_gpu: !row.gpus.is_empty(),
            ..Evidence::default()
        };
        let before = self.before.entry(key).or_insert(Before { read: now, wait_ns, oncpu_ns, grown: 0, grew: None });
        if grown > before.grown {
            before.grew = Some(now);
        }
        evidence.grew = before.grew.map(|grew| now.duration_since(grew));
        let seconds = now.duration_since(before.read).as_secs_f64();
        if scheduler.is_some() && seconds > 0.0 {
            let waited = wait_ns.saturating_sub(before.wait_ns) as f64 / 1e9;
            let ran = oncpu_ns.saturating_sub(before.oncpu_ns) as f64 / 1e9;
            evidence.cpu_wait_rate = Some(waited / seconds);
            evidence.cpu_wait_share = (waited + ran > 0.0).then(|| waited / (waited + ran));
        }
        *before = Before { read: now, wait_ns, oncpu_ns, grown, grew: before.grew };
        evidence
    }
}

impl Collector for GpuStates {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let evidence = self.evidence(container.key, row, Instant::now());
        row.gpu_state = decide(&evidence);
        Ok(())
    }

    fn forget(&mut self, container: &Container) {
        self.before.remove(&container.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a GPU, with nothing going on.
    const IDLE: Evidence = Evidence {
        called: Some(true),
        waiting: None,
        utilization_ratio: Some(0.0),
        seen_on_gpu: true,
        cpu_wait_share: Some(0.1),
        cpu_wait_rate: Some(0.01),
        grew: Some(Duration::from_secs(60)),
    };

    fn state(change: impl FnOnce(&mut Evidence)) -> Option<&'static str> {
        let mut evidence = IDLE;
        change(&mut evidence);
        decide(&evidence).map(GpuState::name)
    }

    #[test]
    fn each_row_of_the_table_is_reached() {
        assert_eq!(state(|_| ()), Some("idle_with_memory"));
        assert_eq!(state(|e| e.grew = Some(Duration::from_secs(1))), Some("loading"));
        assert_eq!(state(|e| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.8), Some(0.4))), Some("waiting_for_cpu"));
        assert_eq!(state(|e| e.utilization_ratio = Some(0.3)), Some("busy"));
        assert_eq!(state(|e| e.waiting = Some(STUCK)), Some("stuck_in_driver"));
        assert_eq!(state(|e| (e.called, e.seen_on_gpu) = (Some(false), false)), Some("no_gpu"));
    }

    #[test]
    fn the_first_row_that_holds_decides() {
        let starved = |e: &mut Evidence| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.8), Some(0.4));
        assert_eq!(
            state(|e| {
                starved(e);
                e.grew = Some(Duration::ZERO);
            }),
            Some("waiting_for_cpu")
        );
        assert_eq!(
            state(|e| {
                starved(e);
                e.utilization_ratio = Some(1.0);
            }),
            Some("busy")
        );
        assert_eq!(
            state(|e| {
                e.utilization_ratio = Some(1.0);
                e.waiting = Some(STUCK);
            }),
            Some("stuck_in_driver")
        );
    }

    #[test]
    fn what_is_not_known_is_no_state() {
        assert_eq!(state(|e| e.utilization_ratio = None), None);
        assert_eq!(state(|e| (e.utilization_ratio, e.waiting) = (None, Some(STUCK))), Some("stuck_in_driver"));
        assert_eq!(state(|e| (e.called, e.seen_on_gpu) = (None, false)), Some("idle_with_memory"));
    }

    #[test]
    fn a_short_wait_is_not_starving_nor_is_a_short_call_stuck() {
        assert_eq!(state(|e| (e.cpu_wait_share, e.cpu_wait_rate) = (Some(0.9), Some(0.02))), Some("idle_with_memory"));
        assert_eq!(state(|e| e.waiting = Some(Duration::from_secs(9))), Some("idle_with_memory"));
    }
}
