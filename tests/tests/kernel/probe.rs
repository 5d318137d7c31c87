//! A loaded [`Kernel`] with the scheduler collector and one tracked test container.

use std::{path::Path, sync::Mutex, time::SystemTime};

use glassbox::{
    collectors::{Collector, Context, scheduler::SPEC},
    config::{self, Config, SchedulerHook},
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{ContainerRow, scheduler::SchedulerCounters},
};
use glassbox_ebpf::offsets::{ABSENT, Offsets};
use glassbox_tests::cgroup::{Cgroup, ROOT, v2_root};

/// Scheduler tests measure the whole machine, so only one runs at a time.
pub(super) static ALONE: Mutex<()> = Mutex::new(());

pub(super) struct Probe {
    pub(super) kernel: Kernel,
    collector: Box<dyn Collector>,
    container: Container,
    row: ContainerRow,
    pub(super) cgroup: Cgroup,
}

pub(super) fn without_sched_info(offsets: &mut Offsets) {
    offsets.task_last_queued = ABSENT;
    offsets.task_run_delay = ABSENT;
    offsets.task_last_arrival = ABSENT;
}

impl Probe {
    /// Tracks a new cgroup of the v2 hierarchy with all programs that this kernel supports.
    pub(super) fn start() -> Self {
        Self::with(&v2_root().expect("a v2 hierarchy"), 0, |_| ())
    }

    pub(super) fn with(root: &Path, hierarchy_id: u32, change_offsets: fn(&mut Offsets)) -> Self {
        let config = Config {
            kernel: config::Kernel { scheduler_hook: SchedulerHook::Auto, ..config::Kernel::default() },
            ..Config::default()
        };
        let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id, change_offsets })
            .unwrap_or_else(|error| panic!("{error:#}"));
        kernel.method("containers").unwrap_or_else(|error| panic!("{error:#}"));
        let (cgroup, container) = Cgroup::tracked(root, &kernel);
        let layout = Layout::detect(Path::new(ROOT)).unwrap();
        let collector = (SPEC.start)(&mut Context {
            config: &config,
            layout: &layout,
            kernel: Some(&mut kernel),
            kernel_error: None,
            layers: Default::default(),
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
        let row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        Self { kernel, collector, container, row, cgroup }
    }

    pub(super) fn read(&mut self) -> SchedulerCounters {
        self.collector.collect(&self.container, &mut self.row).unwrap();
        **self.row.scheduler.as_ref().unwrap()
    }

    pub(super) fn lost(&self, source: glassbox_ebpf::Lost) -> u64 {
        self.kernel.lost().into_iter().find(|(lost, _)| *lost == source).map(|(_, count)| count).unwrap()
    }
}
