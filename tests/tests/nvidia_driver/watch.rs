//! Kernel and collector with one container or two, in which the application is played.

use std::{path::Path, sync::Mutex, time::SystemTime};

use glassbox::{
    collectors::{
        Collector, Context,
        nvidia_driver::{ExtraPaths, Release, SPEC},
    },
    config::Config,
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, Options},
    snapshot::{ContainerRow, gpu::HostRows, nvidia_driver::DriverUsage},
};
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    nvidia::{abi, application::FakeCuda, driver::FakeDriver},
};
use serde_json::Value;

/// A container with its row.
pub(super) struct Watched {
    cgroup: Cgroup,
    container: Container,
    row: ContainerRow,
}

pub(super) struct Watch {
    pub(super) kernel: Kernel,
    collector: Box<dyn Collector>,
    watched: Option<Watched>,
    _alone: std::sync::MutexGuard<'static, ()>,
}

/// The maps are per agent, but the machine has two CPUs: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The application, started.
pub(super) fn cuda(driver: &FakeDriver, profiles: &str) -> FakeCuda {
    FakeCuda::start(Path::new(env!("CARGO_BIN_EXE_fake-cuda")), driver, profiles)
}

impl Watch {
    pub(super) fn start(driver: &FakeDriver, release: Option<abi::Release>) -> Self {
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let nvidia_extra = ExtraPaths {
            ctl: vec![driver.ctl()],
            gpu: vec![driver.gpu(0), driver.gpu(1)],
            uvm: vec![driver.uvm()],
        };
        let nvidia_release = release.map(|release| Release(release.0, release.1, release.2));
        let config = Config { nvidia_extra, nvidia_release, ..Config::default() };
        let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })
            .unwrap_or_else(|error| panic!("{error:#}"));
        let layout = Layout::detect(Path::new(ROOT)).unwrap();
        let collector = (SPEC.start)(&mut Context {
            config: &config,
            layout: &layout,
            kernel: Some(&mut kernel),
            kernel_error: None,
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
        kernel.rung(SPEC.name).unwrap_or_else(|error| panic!("{error:#}"));
        let watched = Some(Watched::new(&kernel));
        Self { kernel, collector, watched, _alone: alone }
    }

    /// One more container.
    pub(super) fn beside(&self) -> Watched {
        Watched::new(&self.kernel)
    }

    pub(super) fn start_playing(&self, driver: &FakeDriver, profiles: &str) -> FakeCuda {
        self.watched.as_ref().unwrap().start_playing(driver, profiles)
    }

    /// Plays profiles in the container, to their end.
    pub(super) fn play(&self, driver: &FakeDriver, profiles: &str) -> Value {
        self.start_playing(driver, profiles).truth()
    }

    pub(super) fn play_in(&self, watched: &Watched, driver: &FakeDriver, profiles: &str) -> Value {
        watched.start_playing(driver, profiles).truth()
    }

    /// What is known of the host as a whole.
    pub(super) fn host(&mut self) -> HostRows {
        let mut host = HostRows::default();
        self.collector.collect_host(&mut host);
        host
    }

    /// What was counted for the container.
    pub(super) fn usage(&mut self) -> Option<DriverUsage> {
        let mut watched = self.watched.take().unwrap();
        let usage = self.usage_of(&mut watched);
        self.watched = Some(watched);
        usage
    }

    pub(super) fn usage_of(&mut self, watched: &mut Watched) -> Option<DriverUsage> {
        self.collector.refresh(Some(&mut self.kernel));
        self.collector.collect(&watched.container, &mut watched.row).unwrap();
        watched.row.nvidia_driver.as_deref().cloned()
    }
}

impl Watched {
    fn new(kernel: &Kernel) -> Self {
        let (cgroup, container) = Cgroup::born(&v2_root().expect("a v2 hierarchy"), kernel);
        let row = ContainerRow::new(container.identity.clone(), SystemTime::now());
        Self { cgroup, container, row }
    }

    fn start_playing(&self, driver: &FakeDriver, profiles: &str) -> FakeCuda {
        let mut cuda = cuda(driver, &format!("wait {profiles}"));
        cuda.waiting();
        self.cgroup.enter(cuda.pid()).unwrap();
        cuda.go();
        cuda
    }
}
