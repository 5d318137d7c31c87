//! Docker, the agent and Prometheus together.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use glassbox_tests::{
    agent::Agent,
    docker::{Docker, Network},
    prometheus::{Programs, Prometheus},
    skip,
};

/// These tests measure how busy the host is, so only one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Holds the lock for one test.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All three. They are dropped in this order.
pub(super) struct Stack {
    pub(super) prometheus: Prometheus,
    pub(super) agent: Agent,
    pub(super) docker: Docker,
    pub(super) programs: Programs,
    _alone: MutexGuard<'static, ()>,
}

impl Stack {
    /// Starts all three, or prints why `test` is skipped. `configuration` has further lines of the agent's TOML.
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

/// Arguments of `docker run` with a throttle that no disk reaches: newer kernels count block I/O for cgroup v1 only on
/// devices with a throttle. `None` if the daemon's files are not on a disk.
pub(super) fn counted_block_io(docker: &Docker) -> Option<[String; 4]> {
    let device = fs::metadata(docker.daemon().data()).ok()?.dev();
    let device = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
    let device = fs::canonicalize(device).ok()?;
    // A partition has no throttle of its own.
    let disk = if device.join("partition").exists() { device.parent()? } else { &device };
    let rule = format!("/dev/{}:10gb", disk.file_name()?.to_str()?);
    Some(["--device-write-bps".into(), rule.clone(), "--device-read-bps".into(), rule])
}

/// Writes and reads without the page cache: v1 attributes I/O through the cache to no container.
pub(super) const BLOCK_IO: &str = "dd if=/dev/zero of=/file bs=1M count=4 oflag=direct; \
                                   dd if=/file of=/dev/null bs=1M iflag=direct";
