//! The containers of the demonstration and their workloads.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    cgroup::{Cgroup, ROOT, fresh_id, v2_root},
    nvidia::{application::FakeCuda, driver::FakeDriver},
};

/// Time between the start of an application and its first use of the driver. It makes the cold start visible, which is
/// measured from the start of the process.
const START_DELAY: Duration = Duration::from_secs(5);

/// The role of a container.
pub(super) struct Role {
    /// Its name. All names have the same prefix, so that users can distinguish them from their own containers.
    pub(super) name: &'static str,
    /// Its image.
    pub(super) image: &'static str,
    /// The index of its GPU.
    pub(super) gpu: usize,
    /// The profiles of its application, for [`FakeCuda`].
    profiles: &'static str,
    /// The GPU utilization that NVML reports once the container has its memory, in percent.
    pub(super) utilization: u32,
    /// Time until its application is restarted.
    lifetime: Option<Duration>,
    /// Whether its driver hangs.
    pub(super) hangs: bool,
}

const FACEFUSION: Role = Role {
    name: "demo-facefusion-1",
    image: "example/facefusion:demo",
    gpu: 0,
    profiles: "context allocate --bytes 536870912 --count 12 pin --count 4 storm --threads 2 --rate 40 --seconds \
               4000000 hold",
    utilization: 90,
    lifetime: None,
    hangs: false,
};

/// One with 90 % utilization, one with 30 % on the same GPU, one that runs out of memory once a minute, and one that hangs.
pub(super) const ROLES: [Role; 4] = [
    FACEFUSION,
    Role { name: "demo-facefusion-2", utilization: 30, ..FACEFUSION },
    Role {
        name: "demo-greedy",
        image: "example/trainer:demo",
        gpu: 1,
        profiles: "context allocate --bytes 268435456 --count 40 exhaust --bytes 1073741824 hold",
        utilization: 0,
        lifetime: Some(Duration::from_secs(60)),
        ..FACEFUSION
    },
    Role {
        name: "demo-hung",
        image: "example/upscaler:demo",
        gpu: 1,
        profiles: "context hold",
        utilization: 0,
        lifetime: Some(Duration::from_secs(300)),
        hangs: true,
    },
];

/// A container with its role.
pub(super) struct Replica {
    role: &'static Role,
    program: PathBuf,
    // Must be dropped before the cgroups, which can be removed only when they are empty.
    application: FakeCuda,
    began: Option<Instant>,
    started: Instant,
    cgroups: Vec<Cgroup>,
    id: String,
}

impl Replica {
    pub(super) fn start(role: &'static Role, program: &Path, driver: &FakeDriver) -> anyhow::Result<Self> {
        let id = fresh_id();
        let cgroups = cgroups(&id)?;
        let application = enter(role, program, driver, &cgroups)?;
        let program = program.to_owned();
        Ok(Self { role, program, application, began: None, started: Instant::now(), cgroups, id })
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

    /// Lets the application start if it has not, and restarts it at the end of its time.
    pub(super) fn step(&mut self, driver: &FakeDriver) -> anyhow::Result<()> {
        match self.began {
            None if self.started.elapsed() >= START_DELAY => {
                self.application.go();
                self.began = Some(Instant::now());
            }
            Some(began) if self.role.lifetime.is_some_and(|lifetime| began.elapsed() >= lifetime) => {
                self.application.kill();
                self.application = enter(self.role, &self.program, driver, &self.cgroups)?;
                (self.began, self.started) = (None, Instant::now());
            }
            _ => {}
        }
        Ok(())
    }
}

/// The cgroups of a container, one in each hierarchy that the agent may read.
fn cgroups(id: &str) -> anyhow::Result<Vec<Cgroup>> {
    let v2 = v2_root().context("find cgroup v2 on this host")?;
    let v1 = ["memory", "cpu", "cpuacct"].map(|controller| Path::new(ROOT).join(controller));
    let v1 = v1.into_iter().filter(|root| root.join("cgroup.procs").exists());
    let mut cgroups = Vec::new();
    for root in std::iter::once(v2).chain(v1) {
        let cgroup = Cgroup::new(&root, &format!("docker/{id}"));
        cgroups.push(cgroup.with_context(|| format!("make a cgroup below {}", root.display()))?);
        // Fails if the parent does not have these controllers. The demonstration then goes without them.
        let _ = fs::write(root.join("docker/cgroup.subtree_control"), "+cpu +memory");
    }
    Ok(cgroups)
}

/// Starts the application outside the container and moves it in. The application then waits.
fn enter(role: &Role, program: &Path, driver: &FakeDriver, cgroups: &[Cgroup]) -> anyhow::Result<FakeCuda> {
    let mut application = FakeCuda::start_on(program, driver, role.gpu, &format!("wait {}", role.profiles));
    application.waiting();
    for cgroup in cgroups {
        cgroup.enter(application.pid()).context("move the application into its cgroup")?;
    }
    Ok(application)
}
