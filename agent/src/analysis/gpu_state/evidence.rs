//! The evidence about a container at one tick, from its row and from the previous tick.

use std::time::Instant;

use super::{
    Evidence, Sources,
    on_cpu::{self, CpuWindow},
};
use crate::snapshot::{ContainerRow, gpu::ContainerGpu};

/// The values of a container at the previous tick.
pub(super) struct Before {
    read: Instant,
    wait_ns: u64,
    oncpu_ns: u64,
    grown: u64,
    grew: Option<Instant>,
    cpu: CpuWindow,
}

/// The evidence about a container, without that about spinning.
pub(super) fn evidence(
    row: &ContainerRow,
    sources: Sources,
    before: &mut Option<Before>,
    now: Instant,
) -> Evidence {
    let driver = row.nvidia_driver.as_ref();
    let scheduler = row.scheduler.as_ref();
    let (wait_ns, oncpu_ns) = scheduler.map_or((0, 0), |usage| (usage.waits.sum_ns, usage.oncpu_ns));
    let grown = driver.map_or(0, |driver| {
        driver.counters.allocations + driver.counters.contexts + driver.counters.channels
    });
    let is_on = |gpu: &ContainerGpu| gpu.processes > Some(0) || gpu.utilization_ratio > Some(0.0);
    let utilizations = row.gpus.iter().filter_map(|gpu| gpu.utilization_ratio);
    let mut evidence = Evidence {
        granted: (driver.is_some() || sources.driver).then_some(grown > 0),
        waiting: driver.and_then(|driver| driver.waiting),
        // If NVML is up and does not report the container on any GPU, its utilization is 0.
        utilization_ratio: utilizations
            .reduce(f64::max)
            .or((sources.nvml && row.gpus.is_empty()).then_some(0.0)),
        seen_on_gpu: row.gpus.iter().any(is_on),
        ..Evidence::default()
    };
    let last = before.get_or_insert_with(|| Before {
        read: now,
        wait_ns,
        oncpu_ns,
        grown: 0,
        grew: None,
        cpu: CpuWindow::default(),
    });
    // Without the lists, the agent may have missed a context that is older than itself.
    evidence.computes_on_cpu = on_cpu::computes(row, &mut last.cpu, now) && sources.lists_processes;
    if grown > last.grown {
        last.grew = Some(now);
    }
    evidence.grew = last.grew.map(|grew| now.duration_since(grew));
    let seconds = now.duration_since(last.read).as_secs_f64();
    if scheduler.is_some() && seconds > 0.0 {
        let waited = wait_ns.saturating_sub(last.wait_ns) as f64 / 1e9;
        let ran = oncpu_ns.saturating_sub(last.oncpu_ns) as f64 / 1e9;
        evidence.cpu_wait_rate = Some(waited / seconds);
        evidence.cpu_wait_share = (waited + ran > 0.0).then(|| waited / (waited + ran));
    }
    (last.read, last.wait_ns, last.oncpu_ns, last.grown) = (now, wait_ns, oncpu_ns, grown);
    evidence
}
