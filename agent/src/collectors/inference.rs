//! When containers loaded models, how many GPUs they were given, and which inference libraries those with GPUs have mapped.
//! With this, the agent recognizes a container that computes on the CPU although it has a GPU (`analysis/gpu_state.rs`).
//!
//! Reads device nodes below `/proc/PID/root`, and `/proc/PID/maps`, `fd`, `fdinfo` and `io` of up to eight processes per
//! container. Needs CAP_SYS_PTRACE. Nothing of a path is kept except the number of a known library. Linux 5.10.
//!
//! A thread of its own reads them, because a process can block readers of its mappings; from Linux 5.12 on, a filesystem
//! cannot (`containers/directory.rs`). If the thread hangs, the values are absent after [`STALE`], and the collector
//! reports the reason.
//!
//! Resolution: device nodes and libraries every 30 s. Open model files every 100 ms while models are read, and otherwise: every
//! second while a container with GPUs is young; after a tick in which the container's memory or its GPU memory has grown by
//! [`GROWTH_BYTES`], because a model fills memory, but at most once a second; and every 30 s if it has GPUs. A load of less
//! than a second or two may be missed. Files that are mapped instead of read (safetensors, gguf) count as models, but have no
//! load.
//!
//! Cost: for a container without GPUs, 32 look-ups in memory every 30 s, and a look at its files after each tick in which its
//! memory has grown. The thread stops looking at containers with GPUs after [`BUDGET`] per second, and at the others after half
//! of that; the rest are looked at later.

mod devices;
mod files;
mod loads;
mod maps;
mod names;
mod processes;
mod reading;
mod rounds;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use self::{
    reading::{Reading, Shared, Subject},
    rounds::Rounds,
};
use super::{Collector, Context, Spec, examination, thread::Thread};
use crate::{
    containers::{process, tracker::Container},
    kernel::{Kernel, privileges},
    snapshot::ContainerRow,
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "inference",
    summary: "GPUs, inference libraries and model loads of containers, from /proc",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &[],
    start,
    examine: examination::of_start,
};

/// Time per second after which no further container with GPUs is looked at.
pub const BUDGET: Duration = Duration::from_millis(5);
/// Values are absent if the last round is older than this.
const STALE: Duration = Duration::from_secs(15);
/// Smaller files with the extension of a model are something else, such as the `.pth` files of Python's packages.
const MODEL_BYTES_MIN: u64 = 1 << 20;
/// Growth of a container's memory within a tick after which its open files are looked at.
const GROWTH_BYTES: u64 = 16 << 20;
/// The reason if the thread hangs.
const HANGS: &str = "a process of a container blocks the reading of its mappings, so libraries and models of all containers \
                     are absent; find it with `ps -eo pid,stat,wchan:30,comm | grep ' D'`";

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let proc_root = context.config.paths.proc.clone();
    process::same_namespace(&proc_root)?;
    let limitation = process::limitation(context.layout, &proc_root);
    let shared = Shared::default();
    let mut rounds = Rounds::new(context.layout.clone(), proc_root, shared.clone());
    let lost = "inference libraries and models of containers are absent";
    let thread = Thread::start("glassbox-infer", lost, move |stop| rounds.run(stop))?;
    Ok(Box::new(Collecting {
        limitation,
        shared,
        containers: HashMap::new(),
        reading: None,
        hangs: false,
        thread,
    }))
}

/// A container.
struct Watched {
    subject: Arc<Subject>,
    filled: Filled,
}

/// Memory at one tick, which a model fills.
#[derive(Clone, Copy)]
struct Filled {
    /// That of its cgroup, with the page cache. `None` if the collector `cgroup` does not report it.
    host_bytes: Option<u64>,
    /// GPU memory that the driver has granted so far.
    gpu_bytes: u64,
}

impl Filled {
    fn of(row: &ContainerRow) -> Self {
        let gpu_bytes = row.nvidia_driver.as_ref().map_or(0, |driver| driver.counters.allocated_bytes);
        Self { host_bytes: row.cgroup.memory.usage_bytes, gpu_bytes }
    }

    fn has_grown_since(self, before: Self) -> bool {
        let grows = |now: u64, before: u64| now >= before.saturating_add(GROWTH_BYTES);
        let host = self.host_bytes.zip(before.host_bytes);
        host.is_some_and(|(now, before)| grows(now, before)) || grows(self.gpu_bytes, before.gpu_bytes)
    }
}

struct Collecting {
    limitation: Option<String>,
    shared: Shared,
    containers: HashMap<u64, Watched>,
    /// The latest reading, unless it is stale.
    reading: Option<Arc<Reading>>,
    hangs: bool,
    thread: Thread,
}

impl Collector for Collecting {
    fn refresh(&mut self, _: Option<&mut Kernel>) {
        let latest = self.shared.latest();
        self.hangs = latest.as_ref().is_some_and(|reading| reading.taken.elapsed() > STALE);
        self.reading = latest.filter(|_| !self.hangs);
    }

    fn limitation(&self) -> Option<&str> {
        self.limitation.as_deref().or_else(|| self.hangs.then_some(HANGS))
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let filled = Filled::of(row);
        let watched = self.containers.entry(container.key).or_insert_with(|| {
            let path = container.identity.cgroup_path.clone();
            let subject = self.shared.add(container.key, Subject::new(path, Instant::now()));
            self.thread.wake();
            Watched { subject, filled }
        });
        if filled.has_grown_since(std::mem::replace(&mut watched.filled, filled)) {
            watched.subject.has_grown.store(true, Ordering::Relaxed);
            self.thread.wake();
        }
        row.inference =
            self.reading.as_ref().and_then(|reading| reading.containers.get(&container.key).copied());
        Ok(())
    }

    fn forget(&mut self, container: &Container) {
        self.containers.remove(&container.key);
        self.shared.remove(container.key);
    }
}
