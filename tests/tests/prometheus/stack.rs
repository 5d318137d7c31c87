//! Docker, the agent and Prometheus, up and connected.

use std::sync::{Mutex, MutexGuard, PoisonError};

use glassbox_tests::{
    agent::Agent,
    docker::{Docker, Network},
    prometheus::{Programs, Prometheus},
    skip,
};

/// One test at a time: they measure how busy the host is.
static ALONE: Mutex<()> = Mutex::new(());

/// The turn of one test.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The three of them; gone when dropped, in this order.
pub(super) struct Stack {
    pub(super) prometheus: Prometheus,
    pub(super) agent: Agent,
    pub(super) docker: Docker,
    pub(super) programs: Programs,
    _alone: MutexGuard<'static, ()>,
}

impl Stack {
    /// Starts them, or says why `test` is skipped. `configuration` are further lines of the agent's TOML.
    pub(super) fn start(test: &str, configuration: &str) -> Option<Self> {
        let alone = alone();
        let programs = Programs::find().map_err(|reason| skip(test, &reason)).ok()?;
        let docker = Docker::own(Network::Bridge).map_err(|reason| skip(test, &reason)).ok()?;
        let socket = docker.socket().display();
        let agent = Agent::start(&format!(
            "docker.socket = {socket:?}\n{configuration}",
            socket = socket.to_string()
        ));
        let prometheus = Prometheus::start(&programs, agent.address);
        Some(Self { prometheus, agent, docker, programs, _alone: alone })
    }
}

/// Whether this host's kernel counts block I/O by cgroup at all: from 6.10 on, it does for v1 only on devices that have a
/// throttle.
pub(super) fn host_counts_block_io() -> bool {
    let v1 = "/sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive";
    std::fs::read_to_string(v1).map_or(true, |text| text.lines().any(|line| line.contains(" Read ")))
}
