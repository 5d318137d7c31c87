//! Run-queue waits, time on CPU and context switches per container.
//!
//! Kernel half: agent-ebpf/src/probes/scheduler.rs, tp_btf `sched_switch` (5.5). This half sums a container's slot over
//! the CPUs: one map look-up of about 1 KiB per CPU for each container and tick.

use anyhow::Context as _;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use glassbox_ebpf::{histogram, maps, scheduler::SchedulerSlot};

use super::{Collector, Context, Spec};
use crate::{
    containers::tracker::Container,
    snapshot::{
        ContainerRow,
        scheduler::{Histogram, SchedulerUsage},
    },
};

impl SchedulerUsage {
    fn sum<'a>(cpus: impl IntoIterator<Item = &'a SchedulerSlot>) -> Self {
        let mut usage = Self {
            oncpu_ns: 0,
            voluntary_switches: 0,
            involuntary_switches: 0,
            waits: Histogram { sum_ns: 0, slots: [0; histogram::SLOTS] },
        };
        for cpu in cpus {
            usage.oncpu_ns += cpu.oncpu_ns;
            usage.voluntary_switches += cpu.voluntary_switches;
            usage.involuntary_switches += cpu.involuntary_switches;
            usage.waits.sum_ns += cpu.wait_ns;
            for (sum, count) in usage.waits.slots.iter_mut().zip(cpu.wait_slots) {
                *sum += count;
            }
        }
        usage
    }
}

/// The registry's row.
pub const SPEC: Spec = Spec {
    name: "scheduler",
    summary: "run-queue waits, time on CPU and switches, from sched_switch in the kernel",
    start,
};

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let kernel = context.kernel()?;
    kernel.rung(SPEC.name)?;
    let counts = kernel.take_map(maps::SCHEDULER)?;
    let cpus = aya::util::nr_cpus().map_err(|(path, error)| error_of(path, error))?;
    Ok(Box::new(Scheduler { counts, cpus }))
}

fn error_of(path: &str, error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("count the CPUs from {path}"))
}

struct Scheduler {
    counts: PerCpuArray<MapData, SchedulerSlot>,
    cpus: usize,
}

impl Collector for Scheduler {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        let cpus = self.counts.get(&slot, 0).with_context(|| format!("read scheduler slot {slot}"))?;
        row.scheduler = Some(Box::new(SchedulerUsage::sum(cpus.iter())));
        Ok(())
    }

    fn outlives_cgroup(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        let cleared = PerCpuValues::try_from(vec![SchedulerSlot::EMPTY; self.cpus])
            .context("size the cleared values")
            .and_then(|empty| self.counts.set(slot, empty, 0).context("write them"));
        if let Err(error) = cleared {
            tracing::warn!("clear scheduler slot {slot}: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_the_sum_of_its_cpus() {
        let mut one = SchedulerSlot { oncpu_ns: 5, wait_ns: 7, ..SchedulerSlot::EMPTY };
        one.wait_slots[3] = 2;
        let mut other = SchedulerSlot { oncpu_ns: 10, voluntary_switches: 1, ..SchedulerSlot::EMPTY };
        other.wait_slots[3] = 1;
        other.involuntary_switches = 4;
        let usage = SchedulerUsage::sum([&one, &other]);
        assert_eq!((usage.oncpu_ns, usage.waits.sum_ns), (15, 7));
        assert_eq!((usage.voluntary_switches, usage.involuntary_switches), (1, 4));
        assert_eq!((usage.waits.slots[3], usage.waits.slots.iter().sum::<u64>()), (3, 3));
    }
}
