//! Run-queue latency, on-CPU time and context switches per container.
//!
//! Kernel half: agent-ebpf/src/probes/scheduler.rs, tp_btf `sched_switch` (from 5.5 on). This half sums a container's
//! slot over the CPUs: one map lookup of about 1 KiB per CPU, for each container and tick.

use glassbox_ebpf::{maps, scheduler::SchedulerCounters};

use super::{Collector, Context, Spec, examination};
use crate::{containers::tracker::Container, kernel::slot_array::SlotArray, snapshot::ContainerRow};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "scheduler",
    summary: "run-queue waits, time on CPU and switches, from sched_switch in the kernel",
    capabilities: &[],
    needs: &[],
    start,
    examine: examination::of_start,
};

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let kernel = context.kernel()?;
    kernel.method(SPEC.name)?;
    Ok(Box::new(Scheduler { counts: kernel.slot_array(maps::SCHEDULER)? }))
}

struct Scheduler {
    counts: SlotArray<SchedulerCounters>,
}

impl Collector for Scheduler {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        row.scheduler = Some(Box::new(self.counts.sum(slot)?));
        Ok(())
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        self.counts.clear(slot);
    }
}
