//! CPU, memory, block I/O, pressure, processes and limits of a container, from its cgroup files.
//!
//! Each file is opened once per container and read anew at every tick with one `pread` into one buffer: about
//! 1 µs a file, some 20 µs for `memory.stat`. What changes rarely (limits) or is dear (lists) is opened, read and closed
//! at the first five ticks and then at every tenth only, each container at a tick of its own. What only the container's own
//! tasks can change (its threads) is left alone while it has used no CPU time; what mostly they change (I/O, pressure) is then
//! read at every third tick. [`v1`] and [`v2`] say which
//! file gives what; a hybrid host takes each controller from the tree that bears it, and pressure from its v2 tree.
//!
//! A file that is not there is looked for at five ticks, since runtimes make the v1 directories one after the
//! other, and then no more, since an older kernel never has it (`memory.peak` came with 5.19). A container
//! that has gone keeps what was read last.

mod block;
mod huge_pages;
mod lists;
mod source;
mod text;
mod v1;
mod v2;

use std::collections::HashMap;

use self::source::{Reader, Source, Tracked};
use super::{Collector, Context, Spec, examination};
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, block_devices::DeviceNames},
    snapshot::{ContainerRow, cgroup::CgroupUsage},
};

/// The row of the registry.
pub const SPEC: Spec = Spec {
    name: "cgroup",
    summary: "CPU, memory, I/O, pressure and limits, from cgroup files",
    capabilities: &[],
    start: |context| Ok(Box::new(CgroupFiles::new(context)?)),
    examine: examination::of_start,
};

/// What changes rarely is read at one of so many ticks,
const RARE_EVERY_TICKS: u32 = 10;
/// but at each of the first: a runtime makes the cgroup, which is read at once, and sets the limits then.
const SETTLE_TICKS: u32 = 5;

struct CgroupFiles {
    layout: Layout,
    huge_pages: bool,
    numa: bool,
    reader: Reader,
    device_names: DeviceNames,
    containers: HashMap<u64, Files>,
}

/// What is held for one container.
struct Files {
    tracked: Tracked,
    /// The generation of names that its devices have.
    devices_named: u64,
}

impl CgroupFiles {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let layout = context.layout.clone();
        let bears = |controller| layout.directory(controller, "/").is_some();
        anyhow::ensure!(
            bears("cpu") || bears("cpuacct") || bears("memory"),
            "find a cgroup controller that accounts: this host has neither cpu, cpuacct nor memory"
        );
        Ok(Self {
            layout,
            huge_pages: context.config.cgroup.hugetlb,
            numa: context.config.cgroup.numa,
            reader: Reader::new(),
            device_names: DeviceNames::new(&context.config.paths.sys),
            containers: HashMap::new(),
        })
    }

    /// The files that tell of a container on this host, each with its directory.
    fn track(&self, container: &Container) -> Tracked {
        let path = &container.identity.cgroup_path;
        let from = |controller, v2: &'static [Source], v1: &'static [Source]| {
            let sources = if self.layout.is_unified(controller) { v2 } else { v1 };
            let directory = self.layout.directory(controller, path);
            directory.map(|directory| (directory, sources))
        };
        let controllers = [
            from("cpuacct", v2::CPUACCT, v1::CPUACCT),
            from("cpu", v2::CPU, v1::CPU),
            from("memory", v2::MEMORY, v1::MEMORY),
            from("blkio", v2::IO, v1::BLKIO),
            // Its files are the same in both.
            from("pids", source::PIDS, source::PIDS),
            self.layout.unified(path).map(|directory| (directory, v2::PRESSURE)),
            self.huge_pages.then(|| from("hugetlb", huge_pages::V2, huge_pages::V1)).flatten(),
            self.numa.then(|| from("memory", v2::NUMA, v1::NUMA)).flatten(),
        ];
        let phase = container.key % u64::from(RARE_EVERY_TICKS);
        Tracked::new(controllers.into_iter().flatten(), u32::try_from(phase).unwrap_or(0))
    }
}

impl Collector for CgroupFiles {
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {
        self.device_names.refresh();
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        if !self.containers.contains_key(&container.key) {
            let files = Files { tracked: self.track(container), devices_named: 0 };
            self.containers.insert(container.key, files);
        }
        let Some(files) = self.containers.get_mut(&container.key) else {
            return Ok(());
        };
        let outcome = files.tracked.read(&mut self.reader, &mut row.cgroup);
        self.device_names.name(&mut row.cgroup.devices, &mut files.devices_named);
        settle(&mut row.cgroup);
        outcome
    }

    fn forget(&mut self, container: &Container) {
        if let Some(files) = self.containers.remove(&container.key) {
            files.tracked.release(&mut self.reader);
        }
    }
}

/// What follows from several files.
fn settle(usage: &mut CgroupUsage) {
    let CgroupUsage { cpu, memory, limits, .. } = usage;
    memory.working_set_bytes = match (memory.usage_bytes, memory.inactive_file_bytes) {
        (Some(usage), Some(inactive)) => Some(usage.saturating_sub(inactive)),
        _ => None,
    };
    // Without a quota the kernel counts no periods, or tells zeros.
    if limits.cpu_quota_us.is_none() {
        (cpu.periods, cpu.throttled_periods, cpu.throttled_ns) = (None, None, None);
        (cpu.burst_periods, cpu.burst_ns) = (None, None);
    }
}

#[cfg(test)]
mod tests;
