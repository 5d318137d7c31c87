//! A loaded [`Kernel`] with the collector of the NVIDIA driver, and its containers.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use glassbox::{
    collectors::{Collector, Context, nvidia_driver::SPEC},
    config::{self, Config, NvidiaDriverHook},
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{
        ContainerRow,
        host::Host,
        nvidia_driver::{CommandUsage, DriverUsage, Failure},
    },
};
use glassbox_ebpf::Lost;
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    nvidia::abi::Release,
    nvidia_module,
};

/// The method under test.
pub(super) const METHOD: &str = "kprobe nvidia_unlocked_ioctl, uvm_unlocked_ioctl_entry";
/// The method before 545.23.06.
const FRONTEND: &str = "kprobe nvidia_frontend_unlocked_ioctl, uvm_unlocked_ioctl_entry";
/// The agent must have handled the load of a module within this time.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The collector may return what it read from the maps within this time before.
const MAP_CACHE_TTL: Duration = Duration::from_millis(25);

/// The method for a release.
pub(super) fn method_of(release: Release) -> &'static str {
    if release < Release(545, 23, 6) { FRONTEND } else { METHOD }
}

/// Reloads the stand-in with other parameters.
pub(super) fn reload(parameters: &str) {
    nvidia_module::unload().unwrap_or_else(|error| panic!("{error:#}"));
    nvidia_module::load(parameters).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Sets a parameter of the stand-in.
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
        Self::on(NvidiaDriverHook::Auto)
    }

    pub(super) fn on(nvidia_driver_hook: NvidiaDriverHook) -> Self {
        Self::with(&Config {
            nvidia_driver: config::NvidiaDriver {
                hook: nvidia_driver_hook,
                ..config::NvidiaDriver::default()
            },
            ..Config::default()
        })
    }

    pub(super) fn with(config: &Config) -> Self {
        let options = Options { config, hierarchy_id: 0, change_offsets: |_| () };
        let mut kernel = Kernel::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
        let layout = Layout::detect(Path::new(ROOT)).unwrap();
        let collector = (SPEC.start)(&mut Context {
            config,
            layout: &layout,
            kernel: Some(&mut kernel),
            kernel_error: None,
            layers: Default::default(),
        });
        Self { kernel, collector: collector.unwrap_or_else(|error| panic!("{error:#}")) }
    }

    /// Creates a container with a slot.
    pub(super) fn container(&mut self) -> (Cgroup, Container) {
        Cgroup::tracked(&v2_root().unwrap(), &self.kernel)
    }

    /// The current usage of a container; `None` if it never called the driver.
    pub(super) fn read(&mut self, container: &Container) -> Option<DriverUsage> {
        // A second reading within this time would return the first one.
        std::thread::sleep(MAP_CACHE_TTL);
        self.collector.refresh(None);
        self.row(container).nvidia_driver.map(|usage| *usage)
    }

    /// A container's row from the last reading.
    pub(super) fn row(&mut self, container: &Container) -> ContainerRow {
        let mut row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        self.collector.collect(container, &mut row).unwrap();
        row
    }

    /// The collector's data about the host.
    pub(super) fn host(&mut self) -> Host {
        let mut host = Host::default();
        self.collector.collect_host(&mut host);
        host
    }

    /// Lets the collector handle the kernel's events about the driver's modules, as a tick does.
    pub(super) fn look(&mut self) {
        let deadline = Instant::now() + LOAD_TIMEOUT;
        loop {
            self.collector.on_events(&mut self.kernel);
            let Some(at) = self.collector.timer_at() else { return };
            assert!(Instant::now() < deadline, "the collector is still handling events");
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            self.collector.on_timer(&mut self.kernel);
        }
    }

    /// The reason why the collector measures nothing.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.collector.limitation()
    }

    pub(super) fn lost(&self, lost: Lost) -> u64 {
        self.kernel.lost_of(lost)
    }
}

/// Calls by device and command, which must be unique.
pub(super) fn counts(usage: &DriverUsage) -> BTreeMap<(&'static str, String), u64> {
    let mut counts = BTreeMap::new();
    for CommandUsage { device, command, durations } in &usage.commands {
        let before = counts.insert((*device, command.to_string()), durations.count());
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
