//! CPU, memory and limits of a container, from its cgroup files.
//!
//! Each file is opened once per container and read anew at every tick with one `pread` into one buffer: about
//! 1 µs a file, some 20 µs for `memory.stat`. Limits change rarely and are opened, read and closed at the first
//! five ticks and then at every tenth only. [`v1`] and [`v2`] say which file gives what; a hybrid host takes
//! each controller from the tree that bears it.
//!
//! A file that is not there is looked for at five ticks, since runtimes make the v1 directories one after the
//! other, and then no more, since an older kernel never has it (`memory.peak` came with 5.19). A container
//! that has gone keeps what was read last.

mod source;
mod v1;
mod v2;

use std::collections::HashMap;

use self::source::{Reader, Source, Tracked};
use super::{Collector, Context, Spec};
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    snapshot::{ContainerRow, cgroup::CgroupUsage},
};

/// The row of the registry.
pub const SPEC: Spec = Spec {
    name: "cgroup",
    summary: "CPU, memory and limits, from cgroup files",
    start: |context| Ok(Box::new(CgroupFiles::new(context)?)),
};

/// Limits are read at one of so many ticks,
const LIMITS_EVERY_TICKS: u32 = 10;
/// but at each of the first: a runtime makes the cgroup, which is read at once, and sets the limits then.
const LIMITS_SETTLE_TICKS: u32 = 5;

struct CgroupFiles {
    layout: Layout,
    reader: Reader,
    containers: HashMap<u64, Tracked>,
}

impl CgroupFiles {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let layout = context.layout.clone();
        let bears = |controller| layout.directory(controller, "/").is_some();
        anyhow::ensure!(
            bears("cpu") || bears("cpuacct") || bears("memory"),
            "find a cgroup controller that accounts: this host has neither cpu, cpuacct nor memory"
        );
        Ok(Self { layout, reader: Reader::new(), containers: HashMap::new() })
    }

    /// The files that tell of a container on this host, each with its directory.
    fn track(&self, path: &str) -> Tracked {
        let from = |controller, v2: &'static [Source], v1: &'static [Source]| {
            let sources = if self.layout.is_unified(controller) { v2 } else { v1 };
            let directory = self.layout.directory(controller, path);
            directory.map(|directory| (directory, sources))
        };
        let controllers = [
            from("cpuacct", v2::CPUACCT, v1::CPUACCT),
            from("cpu", v2::CPU, v1::CPU),
            from("memory", v2::MEMORY, v1::MEMORY),
        ];
        Tracked::new(controllers.into_iter().flatten())
    }
}

impl Collector for CgroupFiles {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        if !self.containers.contains_key(&container.key) {
            let tracked = self.track(&container.identity.cgroup_path);
            self.containers.insert(container.key, tracked);
        }
        let Some(tracked) = self.containers.get_mut(&container.key) else {
            return Ok(());
        };
        let outcome = tracked.read(&mut self.reader, &mut row.cgroup);
        settle(&mut row.cgroup);
        outcome
    }

    fn forget(&mut self, container: &Container) {
        if let Some(tracked) = self.containers.remove(&container.key) {
            tracked.release(&mut self.reader);
        }
    }
}

/// What follows from several files.
fn settle(usage: &mut CgroupUsage) {
    let CgroupUsage { cpu, memory, limits } = usage;
    memory.working_set_bytes = match (memory.usage_bytes, memory.inactive_file_bytes) {
        (Some(usage), Some(inactive)) => Some(usage.saturating_sub(inactive)),
        _ => None,
    };
    // Without a quota the kernel counts no periods, or tells zeros.
    if limits.cpu_quota_us.is_none() {
        (cpu.periods, cpu.throttled_periods, cpu.throttled_ns) = (None, None, None);
    }
}

#[cfg(test)]
mod tests;
