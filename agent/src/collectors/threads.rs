//! What the threads of a container do while it has work in flight: they run, are stopped, or wait for a file, a lock, a
//! socket or events.
//!
//! Reads the state, the system call and the number of runs of each thread from `/proc/PID/task/TID/`. Only the threads
//! that have run since the container was last idle count, because the others, such as idle workers of a pool, do not
//! work on a request. Needs CAP_SYS_PTRACE. Linux 5.10.
//!
//! Cost: nothing for a container that serves no requests. While requests are in flight, 9 µs per thread and tick, and 35 µs
//! more for each that has run (measured on 6.18 in a virtual machine, with a build that is not optimized; most of it is in
//! the kernel); without, 9 µs per thread every 10 s. Limited to [`THREADS_MAX`] threads per container and [`BUDGET`] per
//! tick; if the budget is used up, the containers are looked at in fewer ticks.

mod calls;
mod look;

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::look::{Look, Seen};
use super::{Collector, Context, Spec, examination};
use crate::{
    containers::{cgroup::Layout, process, tracker::Container},
    kernel::{Kernel, privileges},
    snapshot::{
        ContainerRow,
        threads::{ThreadActivity, Threads},
    },
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "threads",
    summary: "what threads of containers wait for while requests are in flight, from /proc",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &["requests"],
    start,
    examine: examination::of_start,
};

/// Maximum number of threads of one container that are looked at.
pub const THREADS_MAX: usize = 256;
/// Maximum number of threads that are looked at if none has run.
const STOPPED_MAX: usize = 4;
/// Maximum number of processes of one container that are looked at.
const PROCESSES_MAX: usize = 64;
/// Time per tick after which no further container is looked at.
pub const BUDGET: Duration = Duration::from_millis(3);
/// Maximum number of ticks between two looks at a container with work in flight.
const TICKS_MAX: u64 = 8;
/// Time between two looks at a container without work in flight.
const IDLE_PERIOD: Duration = Duration::from_secs(10);
/// The source of [`Collector::lost`].
const LOST: &str = "threads";

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let proc_root = context.config.paths.proc.clone();
    process::same_namespace(&proc_root)?;
    Ok(Box::new(Collecting {
        limitation: process::limitation(context.layout, &proc_root),
        layout: context.layout.clone(),
        proc_root,
        look: Look::default(),
        containers: HashMap::new(),
        tick: 0,
        period: 1,
        used: Duration::ZERO,
        lost: [(LOST, 0)],
    }))
}

struct Collecting {
    layout: Layout,
    proc_root: PathBuf,
    limitation: Option<String>,
    look: Look,
    containers: HashMap<u64, Known>,
    tick: u64,
    /// Number of ticks between two looks at a container.
    period: u64,
    /// Time spent in this tick.
    used: Duration,
    lost: [(&'static str, u64); 1],
}

/// What is known of a container.
#[derive(Default)]
struct Known {
    /// How often each thread had run when the container was last idle.
    idle_runs: HashMap<u32, u64>,
    /// When that was read.
    idle_at: Option<Instant>,
    /// The tick of the last look with work in flight.
    looked: Option<u64>,
}

impl Collecting {
    /// Calls `each` for each thread.
    fn threads(&mut self, path: &str, max: usize, mut each: impl FnMut(Seen<'_>)) {
        let mut left = max;
        for process in process::all_of(&self.layout, path, PROCESSES_MAX) {
            left = self.look.process(&self.proc_root, &process, left, &mut each);
            if left == 0 {
                self.lost[0].1 += u64::from(max == THREADS_MAX);
                return;
            }
        }
    }

    fn look_at_work(&mut self, container: &Container) -> Threads {
        let idle_runs = self.containers.get_mut(&container.key).map(|known| {
            known.looked = Some(self.tick);
            std::mem::take(&mut known.idle_runs)
        });
        let idle_runs = idle_runs.unwrap_or_default();
        let mut threads = Threads::default();
        let path = &container.identity.cgroup_path;
        self.threads(path, THREADS_MAX, |mut seen| {
            let ran = seen.runs.is_none() || idle_runs.get(&seen.thread).copied() != seen.runs;
            if ran && let Some(activity) = seen.activity() {
                threads.add(activity);
            }
        });
        if threads.total() == 0 {
            // No thread has run since: were they stopped meanwhile?
            self.threads(path, STOPPED_MAX, |mut seen| {
                if seen.activity() == Some(ThreadActivity::Stopped) {
                    threads.add(ThreadActivity::Stopped);
                }
            });
        }
        if let Some(known) = self.containers.get_mut(&container.key) {
            known.idle_runs = idle_runs;
        }
        threads
    }

    fn look_at_idle(&mut self, container: &Container, now: Instant) {
        let mut idle_runs = HashMap::new();
        self.threads(&container.identity.cgroup_path, THREADS_MAX, |seen| {
            idle_runs.extend(seen.runs.map(|runs| (seen.thread, runs)));
        });
        let known = self.containers.entry(container.key).or_default();
        known.idle_runs = idle_runs;
        known.idle_at = Some(now);
    }
}

impl Collector for Collecting {
    fn refresh(&mut self, _: Option<&mut Kernel>) {
        self.period =
            if self.used >= BUDGET { (self.period * 2).min(TICKS_MAX) } else { (self.period - 1).max(1) };
        self.used = Duration::ZERO;
        self.tick += 1;
    }

    fn limitation(&self) -> Option<&str> {
        self.limitation.as_deref()
    }

    fn lost(&self) -> &[(&'static str, u64)] {
        &self.lost
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(in_flight) = row.work_in_flight() else {
            row.threads = None;
            return Ok(());
        };
        let begun = Instant::now();
        let known = self.containers.entry(container.key).or_default();
        let is_due = if in_flight > 0 {
            known.looked.is_none_or(|looked| self.tick - looked >= self.period)
        } else {
            row.threads = None;
            known.looked = None;
            known.idle_at.is_none_or(|at| begun.duration_since(at) >= IDLE_PERIOD)
        };
        if !is_due {
            return Ok(());
        }
        if self.used >= BUDGET {
            self.lost[0].1 += u64::from(in_flight > 0);
            return Ok(());
        }
        if in_flight > 0 {
            row.threads = Some(self.look_at_work(container)).filter(|threads| threads.total() > 0);
        } else {
            self.look_at_idle(container, begun);
        }
        self.used += begun.elapsed();
        Ok(())
    }

    fn forget(&mut self, container: &Container) {
        self.containers.remove(&container.key);
    }
}
