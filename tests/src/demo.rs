//! The host of `cargo xtask run --demo`: simulated GPUs and containers for the agent.
//!
//! It has two GPUs (the NVML stand-in), their driver (in FUSE), and seven containers. A container is a cgroup, named by a
//! Docker Engine that is part of the demonstration. Four have a fake CUDA application; the values of NVML are derived from
//! the memory that the applications hold. Two have a web server, which real clients use. One processes FaceFusion jobs, if
//! the host has Python and ffmpeg. It needs root. Everything is removed when dropped; if the process is killed, empty cgroups
//! remain.

mod containers;
mod engine;
mod facefusion;
mod gpus;
mod web;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use self::{
    containers::Replica,
    engine::{Engine, Listed},
    web::Web,
};
use crate::{
    facefusion::Player,
    nvidia::driver::{self, FakeDriver, Options},
    nvml::StandIn,
};

/// Memory of each GPU.
const MEMORY_MIB: u64 = 24 << 10;
/// The request that never returns in the hanging container: the first one of a CUDA context to its GPU.
const HANGS: &str = "0x2b";
/// Time between two updates of the GPUs.
pub const STEP: Duration = Duration::from_millis(500);

/// The demonstration. It ends when dropped.
pub struct Demo {
    replicas: Vec<Replica>,
    webs: Vec<Web>,
    /// The container with FaceFusion, or the reason why there is none.
    facefusion: Result<Player<'static>, String>,
    server: PathBuf,
    stand_in: StandIn,
    driver: FakeDriver,
    /// The driver of the hanging container.
    broken: FakeDriver,
    engine: Engine,
    /// Set once an agent traces the drivers.
    begun: bool,
}

impl Demo {
    /// Starts everything. `programs` is the directory of `fake-cuda` and `slow-server`, `nvml` the stand-in for NVIDIA's
    /// library.
    ///
    /// # Errors
    /// Without root, FUSE or cgroups.
    pub fn start(programs: &Path, nvml: &Path) -> anyhow::Result<Self> {
        let options = Options { memory_mib: MEMORY_MIB, ..Options::default() };
        let broken = Options { hang: Some(HANGS.parse()?), ..options.clone() };
        let driver = FakeDriver::start(options).context("start the driver")?;
        let broken = FakeDriver::start(broken).context("start the hanging driver")?;
        let mut replicas = Vec::new();
        for role in &containers::ROLES {
            let driver = if role.hangs { &broken } else { &driver };
            let replica = Replica::start(role, &programs.join("fake-cuda"), driver)
                .with_context(|| format!("start the container {}", role.name))?;
            replicas.push(replica);
        }
        let webs: Vec<_> = web::ROLES.iter().map(Web::new).collect();
        let facefusion = facefusion::start();
        let stand_in = StandIn::of(nvml, &gpus::scenario(&driver, &replicas));
        let gpu = replicas.iter().map(|one| (one.id(), one.role().name, one.role().image));
        let web = webs.iter().map(|one| (one.id(), one.role().name, one.role().image));
        let jobs = facefusion.iter().map(|player| (&*player.container, facefusion::NAME, facefusion::IMAGE));
        let listed = gpu.chain(web).chain(jobs).map(|(id, name, image)| Listed { id, name, image });
        let engine = Engine::start(listed).context("start the engine")?;
        Ok(Self {
            replicas,
            webs,
            facefusion,
            server: programs.join("slow-server"),
            stand_in,
            driver,
            broken,
            engine,
            begun: false,
        })
    }

    /// Which container is missing, and why, in one line.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let reason = self.facefusion.as_ref().err()?;
        Some(format!("the container {} is missing: {reason}", facefusion::NAME))
    }

    /// The agent's configuration.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!(
            "demo = true\ndocker.socket = {:?}\nnvml.library = {:?}\n{}",
            self.engine.socket(),
            self.stand_in.library(),
            driver::configuration(&[&self.driver, &self.broken]),
        )
    }

    /// Writes the configuration atomically, so that the agent can be started once the file exists.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_configuration(&self, file: &Path) -> anyhow::Result<()> {
        let next = file.with_extension("next");
        fs::write(&next, self.configuration())
            .and_then(|()| fs::rename(&next, file))
            .with_context(|| format!("write {}", file.display()))
    }

    /// Lets the applications and the clients start. The agent must trace the drivers first: it would miss earlier calls, and
    /// a hanging call is never repeated. Calls after the first one have no effect.
    ///
    /// # Errors
    /// If a container cannot be started.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.webs.iter_mut().try_for_each(|web| web.begin(&self.server))?;
        }
        Ok(())
    }

    /// Half a second of the demonstration: the applications continue, and NVML reports what they hold. The applications wait
    /// until [`begin`](Self::begin).
    ///
    /// # Errors
    /// If one of them has failed.
    pub fn step(&mut self) -> anyhow::Result<()> {
        for replica in self.replicas.iter_mut().filter(|_| self.begun) {
            let driver = if replica.role().hangs { &self.broken } else { &self.driver };
            replica
                .step(driver)
                .with_context(|| format!("continue the container {}", replica.role().name))?;
        }
        self.stand_in.set(&gpus::scenario(&self.driver, &self.replicas));
        Ok(())
    }
}
