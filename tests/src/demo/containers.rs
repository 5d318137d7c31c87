//! The containers of the demonstration and what they play.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    cgroup::{Cgroup, v2_root},
    nvidia::{application::FakeCuda, driver::FakeDriver},
};

/// What a container is there to show.
pub(super) struct Role {
    /// Its name; all begin so that nobody takes them for their own.
    pub(super) name: &'static str,
    /// Its image.
    pub(super) image: &'static str,
    /// The GPU that it is on.
    pub(super) gpu: usize,
    /// What its application does, for [`FakeCuda`].
    profiles: &'static str,
    /// The share of its GPU's time that NVML tells, in percent, once it has its memory.
    pub(super) utilization: u32,
    /// How long it lives before it is started anew.
    life: Option<Duration>,
    /// Whether its driver never answers.
    pub(super) hangs: bool,
}

const FACEFUSION: Role = Role {
    name: "demo-facefusion-1",
    image: "example/facefusion:demo",
    gpu: 0,
    profiles: "context allocate --bytes 536870912 --count 12 pin --count 4 storm --threads 2 --rate 40 --seconds \
               4000000 hold",
    utilization: 90,
    life: None,
    hangs: false,
};

/// One that works at 90 %, its twin at 30 %, one that runs out of memory once a minute, and one that hangs.
pub(super) const ROLES: [Role; 4] = [
    FACEFUSION,
    Role { name: "demo-facefusion-2", utilization: 30, ..FACEFUSION },
    Role {
        name: "demo-greedy",
        image: "example/trainer:demo",
        gpu: 1,
        profiles: "context allocate --bytes 268435456 --count 40 exhaust --bytes 1073741824 hold",
        utilization: 0,
        life: Some(Duration::from_secs(60)),
        ..FACEFUSION
    },
    Role {
        name: "demo-hung",
        image: "example/upscaler:demo",
        gpu: 1,
        profiles: "context hold",
        utilization: 0,
        hangs: true,
        ..FACEFUSION
    },
];

/// A container that plays its role.
pub(super) struct Replica {
    role: &'static Role,
    program: PathBuf,
    // Before the cgroup, which can only be removed once it is empty.
    application: FakeCuda,
    began: Instant,
    cgroup: Cgroup,
    id: String,
}

impl Replica {
    pub(super) fn start(role: &'static Role, program: &Path, driver: &FakeDriver) -> anyhow::Result<Self> {
        let root = v2_root().context("find cgroup v2 on this host")?;
        let (cgroup, id) = Cgroup::container(&root).context("make a cgroup")?;
        let application = play(role, program, driver, &cgroup)?;
        Ok(Self { role, program: program.to_owned(), application, began: Instant::now(), cgroup, id })
    }

    pub(super) fn role(&self) -> &'static Role {
        self.role
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn pid(&self) -> i32 {
        self.application.pid()
    }

    /// Starts it anew where its time is over.
    pub(super) fn step(&mut self, driver: &FakeDriver) -> anyhow::Result<()> {
        if self.role.life.is_some_and(|life| self.began.elapsed() >= life) {
            self.application.kill();
            self.application = play(self.role, &self.program, driver, &self.cgroup)?;
            self.began = Instant::now();
        }
        Ok(())
    }
}

/// Starts the application outside, and lets it open the driver once it is in the container.
fn play(role: &Role, program: &Path, driver: &FakeDriver, cgroup: &Cgroup) -> anyhow::Result<FakeCuda> {
    let mut application = FakeCuda::start_on(program, driver, role.gpu, &format!("wait {}", role.profiles));
    application.waiting();
    cgroup.enter(application.pid()).context("move the application into its cgroup")?;
    application.go();
    Ok(application)
}
