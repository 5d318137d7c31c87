//! Processes of containers that run one of a few listed programs, such as ffmpeg: started, running, ended, with their
//! durations.
//!
//! Kernel half: agent-ebpf/src/probes/programs.rs, tp_btf `sched_process_exec` and `sched_process_exit` (from 5.5 on),
//! so a process counts however short it is. The list is a constant of the programs, which the kernel compares with the
//! name of each executed file: 0.5 µs per exec and 0.2 µs per process exit of the host. This half reads one map element of
//! 392 bytes per container and tick.
//!
//! A process counts for the container in which it executed the program, even if it is moved elsewhere later. Processes
//! that run when the agent starts, or that execute the program before they are moved into the container, are not
//! counted.

use std::sync::Arc;

use aya::maps::{HashMap, MapData};
use glassbox_ebpf::{
    container_programs::{Run, SlotPrograms},
    maps,
};

use super::{Collector, Context, Spec, examination};
use crate::{
    containers::tracker::Container,
    kernel::slot_array::SharedSlotArray,
    snapshot::{ContainerRow, programs::ProgramUsage},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "programs",
    summary: "processes of listed programs such as ffmpeg, from each exec and exit in the kernel",
    capabilities: &[],
    needs: &[],
    start,
    examine: examination::of_start,
};

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let names = context.config.programs.names.iter().map(|name| name.as_str().into()).collect();
    let kernel = context.kernel()?;
    kernel.method(SPEC.name)?;
    Ok(Box::new(Programs {
        names,
        counts: kernel.shared_slot_array(maps::PROGRAMS)?,
        runs: kernel.take_map(maps::PROGRAM_RUNS)?,
    }))
}

struct Programs {
    /// In the order of the counters.
    names: Vec<Arc<str>>,
    counts: SharedSlotArray<SlotPrograms>,
    /// By process ID.
    runs: HashMap<MapData, u32, Run>,
}

impl Programs {
    /// Removes the entries of processes that outlive their container in another cgroup. Their ends would count for the
    /// next holder of the slot.
    fn remove_runs(&mut self, slot: u32) {
        let of_slot = self.runs.iter().flatten().filter(|(_, run)| run.slot == slot);
        let processes: Vec<u32> = of_slot.map(|(process, _)| process).collect();
        for process in processes {
            // An error means that the process has just ended.
            let _ = self.runs.remove(&process);
        }
    }
}

impl Collector for Programs {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        let counts = self.counts.get(slot)?;
        let has_run = self.names.iter().zip(counts.programs).filter(|(_, counters)| counters.started > 0);
        row.programs = has_run
            .map(|(name, counters)| ProgramUsage {
                name: Arc::clone(name),
                running: counters.running(),
                counters,
            })
            .collect();
        Ok(())
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        if self.counts.get(slot).is_ok_and(|counts| counts.entries != 0) {
            self.remove_runs(slot);
        }
        self.counts.clear(slot);
    }
}
