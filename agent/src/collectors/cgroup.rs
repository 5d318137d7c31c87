//! CPU, memory, block I/O, pressure, processes and limits of a container, from its cgroup files.
//!
//! Each file is opened once per container and read at every tick, with one `pread` into a shared buffer. A read takes
//! about 1 µs per file, and about 20 µs for `memory.stat`. Values that change rarely (limits) or are expensive (lists)
//! are opened, read and closed at the first five ticks and then only at every tenth, at a different tick for each
//! container. While a container has used no CPU time, values that only its own tasks can change (its threads) are not
//! read, and values that mostly change with them (I/O, pressure) are read at every third tick. [`v1`] and [`v2`] list
//! the values of each file. On a hybrid host, each controller is read from the hierarchy that has it, and pressure from
//! the v2 hierarchy.
//!
//! A missing file is retried at five ticks, because runtimes create the v1 directories one after the other. After that
//! it is given up, because an older kernel never has it (`memory.peak` came with 5.19). When a container has ended, its
//! row keeps the last values.

mod block;
mod huge_pages;
mod lists;
mod source;
mod text;
mod v1;
mod v2;

use std::collections::HashMap;

use self::source::{ContainerFiles, Reader, Source};
use super::{Collector, Context, Spec, examination};
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, block_devices::DeviceNames},
    snapshot::{ContainerRow, cgroup::CgroupUsage},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "cgroup",
    summary: "CPU, memory, I/O, pressure and limits, from cgroup files",
    capabilities: &[],
    needs: &[],
    start: |context| Ok(Box::new(CgroupFiles::new(context)?)),
    examine: examination::of_start,
};

/// Values that change rarely are read at one of this many ticks.
const RARE_EVERY_TICKS: u32 = 10;
/// Number of first ticks at each of which they are also read: a runtime creates the cgroup, which is read at once, and
/// sets the limits afterwards.
const START_TICKS: u32 = 5;

struct CgroupFiles {
    layout: Layout,
    huge_pages: bool,
    numa: bool,
    reader: Reader,
    device_names: DeviceNames,
    containers: HashMap<u64, Files>,
}

/// State of one container.
struct Files {
    tracked: ContainerFiles,
    /// The generation of device names that its devices have.
    devices_named: u64,
}

impl CgroupFiles {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let layout = context.layout.clone();
        let has = |controller| layout.directory(controller, "/").is_some();
        anyhow::ensure!(
            has("cpu") || has("cpuacct") || has("memory"),
            "find a cgroup controller that counts usage: this host has none of cpu, cpuacct and memory"
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

    /// The files of a container that this host can have, each with its directory.
    fn track(&self, container: &Container) -> ContainerFiles {
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
            // These files are the same in v1 and v2.
            from("pids", source::PIDS, source::PIDS),
            self.layout.unified(path).map(|directory| (directory, v2::PRESSURE)),
            self.huge_pages.then(|| from("hugetlb", huge_pages::V2, huge_pages::V1)).flatten(),
            self.numa.then(|| from("memory", v2::NUMA, v1::NUMA)).flatten(),
        ];
        let phase = container.key % u64::from(RARE_EVERY_TICKS);
        ContainerFiles::new(controllers.into_iter().flatten(), u32::try_from(phase).unwrap_or(0))
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

/// Derives the values that depend on several files.
fn settle(usage: &mut CgroupUsage) {
    let CgroupUsage { cpu, memory, limits, .. } = usage;
    memory.working_set_bytes = match (memory.usage_bytes, memory.inactive_file_bytes) {
        (Some(usage), Some(inactive)) => Some(usage.saturating_sub(inactive)),
        _ => None,
    };
    // Without a quota the kernel counts no periods, or reports zeros.
    if limits.cpu_quota_us.is_none() {
        (cpu.periods, cpu.throttled_periods, cpu.throttled_ns) = (None, None, None);
        (cpu.burst_periods, cpu.burst_ns) = (None, None);
    }
}

#[cfg(test)]
mod tests;
