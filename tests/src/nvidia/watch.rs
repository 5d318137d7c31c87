//! Kernel programs and the collector, with containers in which the application runs.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use glassbox::{
    collectors::{Collector, Context, nvidia_driver::SPEC},
    config::Config,
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{ContainerRow, host::Host, nvidia_driver::DriverUsage},
};
use glassbox_ebpf::Lost;
use serde_json::Value;

use super::{Driver, application::FakeCuda};
use crate::cgroup::{Cgroup, ROOT, v2_root};

/// The collector may return what it read from the maps within this time before.
const MAP_CACHE_TTL: Duration = Duration::from_millis(25);

/// A container with its row.
pub struct Watched {
    cgroup: Cgroup,
    container: Container,
    row: ContainerRow,
}

/// The agent's part of a test.
pub struct Watch {
    kernel: Kernel,
    collector: Box<dyn Collector>,
    program: PathBuf,
    watched: Option<Watched>,
    _alone: MutexGuard<'static, ()>,
}

/// The maps belong to one agent, but two CPUs are not enough for several: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

impl Watch {
    /// Loads the programs for a driver, attaches them, and creates a container. `program` is `fake-cuda`.
    ///
    /// # Panics
    /// If any of it fails.
    #[must_use]
    pub fn start(driver: &dyn Driver, program: PathBuf) -> Self {
        let mut config = Config::default();
        driver.configure(&mut config);
        Self::with(&config, program)
    }

    /// Like [`start`](Self::start), with a configuration.
    ///
    /// # Panics
    /// If any of it fails.
    #[must_use]
    pub fn with(config: &Config, program: PathBuf) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kernel = Kernel::start(&Options { config, hierarchy_id: 0, change_offsets: |_| () })
            .unwrap_or_else(|error| panic!("{error:#}"));
        let layout = Layout::detect(ROOT.as_ref()).unwrap();
        let mut context = Context {
            config,
            layout: &layout,
            kernel: Some(&mut kernel),
            kernel_error: None,
            layers: Default::default(),
        };
        let collector = (SPEC.start)(&mut context).unwrap_or_else(|error| panic!("{error:#}"));
        kernel.method(SPEC.name).unwrap_or_else(|error| panic!("{error:#}"));
        let watched = Some(Watched::new(&kernel));
        Self { kernel, collector, program, watched, _alone: alone }
    }

    /// The kernel programs.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The attach method of the driver's programs.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.kernel.method(SPEC.name).unwrap_or_else(|error| panic!("{error:#}")).name
    }

    /// Calls and commands that the programs report as lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kernel.lost_of(Lost::NvidiaCalls) + self.kernel.lost_of(Lost::NvidiaCommands)
    }

    /// Creates another container.
    #[must_use]
    pub fn beside(&self) -> Watched {
        Watched::new(&self.kernel)
    }

    /// Starts the application outside containers.
    #[must_use]
    pub fn outside(&self, driver: &dyn Driver, profiles: &str) -> FakeCuda {
        FakeCuda::start(&self.program, driver, profiles)
    }

    /// Starts the application in the container.
    #[must_use]
    pub fn start_in_container(&self, driver: &dyn Driver, profiles: &str) -> FakeCuda {
        self.start_in(self.watched.as_ref().unwrap(), driver, profiles)
    }

    /// Runs the application in the container until it exits. Returns its account.
    #[must_use]
    pub fn run(&self, driver: &dyn Driver, profiles: &str) -> Value {
        self.start_in_container(driver, profiles).truth()
    }

    /// Runs the application in another container until it exits. Returns its account.
    #[must_use]
    pub fn run_in(&self, watched: &Watched, driver: &dyn Driver, profiles: &str) -> Value {
        self.start_in(watched, driver, profiles).truth()
    }

    fn start_in(&self, watched: &Watched, driver: &dyn Driver, profiles: &str) -> FakeCuda {
        let mut cuda = self.ready_in(watched, driver, profiles);
        cuda.go();
        cuda
    }

    /// The application in a container. It waits for [`FakeCuda::go`] before it opens the driver.
    #[must_use]
    pub fn ready_in(&self, watched: &Watched, driver: &dyn Driver, profiles: &str) -> FakeCuda {
        let mut cuda = self.outside(driver, &format!("wait {profiles}"));
        cuda.waiting();
        watched.cgroup.enter(cuda.pid()).unwrap();
        cuda
    }

    /// The collector's data about the host.
    pub fn host(&mut self) -> Host {
        let mut host = Host::default();
        self.collector.collect_host(&mut host);
        host
    }

    /// The container's usage; `None` if it never called the driver.
    pub fn usage(&mut self) -> Option<DriverUsage> {
        let mut watched = self.watched.take().unwrap();
        let usage = self.usage_of(&mut watched);
        self.watched = Some(watched);
        usage
    }

    /// The usage of another container.
    pub fn usage_of(&mut self, watched: &mut Watched) -> Option<DriverUsage> {
        std::thread::sleep(MAP_CACHE_TTL);
        self.collector.refresh(Some(&mut self.kernel));
        self.collector.collect(&watched.container, &mut watched.row).unwrap();
        watched.row.nvidia_driver.as_deref().cloned()
    }
}

impl Watched {
    fn new(kernel: &Kernel) -> Self {
        let (cgroup, container) = Cgroup::tracked(&v2_root().unwrap(), kernel);
        let row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        Self { cgroup, container, row }
    }
}
