//! A loaded [`Kernel`] with the collector of the NVIDIA driver, and containers to be read by it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use glassbox::{
    collectors::{Collector, Context, nvidia_driver::SPEC},
    config::{Config, NvidiaDriverRung},
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{
        ContainerRow,
        gpu::HostRows,
        nvidia_driver::{CommandUsage, DriverUsage, Failure},
    },
};
use glassbox_ebpf::Lost;
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    nvidia_module,
};

/// The rung that these tests are about.
pub(super) const RUNG: &str = "kprobe nvidia_unlocked_ioctl, uvm_unlocked_ioctl_entry";
/// The collector looks for the driver this often.
const LOOK: Duration = Duration::from_secs(2);
/// It reads the maps again after this.
const STALE: Duration = Duration::from_millis(25);

/// Loads the stand-in with other parameters.
pub(super) fn reload(parameters: &str) {
    nvidia_module::unload().unwrap_or_else(|error| panic!("{error:#}"));
    nvidia_module::load(parameters).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Writes one of the stand-in's parameters.
pub(super) fn set(parameter: &str, value: &str) {
    let path = Path::new("/sys/module/nvidia/parameters").join(parameter);
    fs::write(&path, value).unwrap_or_else(|error| panic!("write {value} to {}: {error}", path.display()));
}

/// Moves this process out of every container.
pub(super) fn leave() {
    fs::write(v2_root().unwrap().join("cgroup.procs"), std::process::id().to_string()).unwrap();
}

pub(super) struct DriverProbe {
    pub(super) kernel: Kernel,
    collector: Box<dyn Collector>,
}

impl DriverProbe {
    pub(super) fn start() -> Self {
        Self::on(NvidiaDriverRung::Auto)
    }

    pub(super) fn on(nvidia_driver_rung: NvidiaDriverRung) -> Self {
        let config = Config { nvidia_driver_rung, ..Config::default() };
        let options = Options { config: &config, hierarchy_id: 0, change_offsets: |_| () };
        let mut kernel = Kernel::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
        let layout = Layout::detect(Path::new(ROOT)).unwrap();
        let collector = (SPEC.start)(&mut Context {
            config: &config,
            layout: &layout,
            kernel: Some(&mut kernel),
            kernel_error: None,
            layers: Default::default(),
        });
        Self { kernel, collector: collector.unwrap_or_else(|error| panic!("{error:#}")) }
    }

    /// A new container, with a slot of its own.
    pub(super) fn container(&mut self) -> (Cgroup, Container) {
        Cgroup::born(&v2_root().unwrap(), &self.kernel)
    }

    /// What a container's row says now; `None` where it never called the driver.
    pub(super) fn read(&mut self, container: &Container) -> Option<DriverUsage> {
        // Two readings in a short time are one.
        std::thread::sleep(STALE);
        self.collector.refresh(None);
        self.row(container).nvidia_driver.map(|usage| *usage)
    }

    /// A container's row, from what was read last.
    pub(super) fn row(&mut self, container: &Container) -> ContainerRow {
        let mut row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        self.collector.collect(container, &mut row).unwrap();
        row
    }

    /// What is known of the host as a whole.
    pub(super) fn host(&mut self) -> HostRows {
        let mut host = HostRows::default();
        self.collector.collect_host(&mut host);
        host
    }

    /// Lets the collector look whether the driver has come or gone.
    pub(super) fn look(&mut self) {
        std::thread::sleep(LOOK);
        self.collector.refresh(Some(&mut self.kernel));
    }

    pub(super) fn lost(&self, lost: Lost) -> u64 {
        self.kernel.lost_of(lost)
    }
}

/// Calls by device and command, each of which must be there once.
pub(super) fn counts(usage: &DriverUsage) -> BTreeMap<(&'static str, String), u64> {
    let mut counts = BTreeMap::new();
    for CommandUsage { device, command, durations } in &usage.commands {
        let before = counts.insert((*device, command.to_string()), durations.slots.iter().sum());
        assert_eq!(before, None, "{device} {command} twice");
    }
    counts
}

/// Failures by device, command and reason, in that order.
pub(super) fn failures(usage: &DriverUsage) -> Vec<(&'static str, String, Failure, u64)> {
    let failures = usage.failures.iter();
    let mut failures: Vec<_> = failures
        .map(|failure| (failure.device, failure.command.to_string(), failure.reason.clone(), failure.count))
        .collect();
    failures.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    failures
}
