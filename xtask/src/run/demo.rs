//! `--demo`: simulated GPUs and containers. The simulation is test code (tests/src/demo.rs, tests/nvml); the agent is the
//! regular build with a configuration that points to the simulation.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::processes::Processes;
use crate::workspace;

/// Start timeout of the simulated containers and drivers.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts the demo and returns the path of the agent's configuration. The containers start their work once the agent at
/// the address `agent` is ready.
pub(super) fn start(processes: &mut Processes, agent: SocketAddr) -> anyhow::Result<PathBuf> {
    println!("Starting two simulated GPUs and seven containers");
    let directory = workspace::scratch().join("run/demo");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let configuration = directory.join("demo.toml");
    // The file of a previous run would look as if the demo were ready.
    let _ = fs::remove_file(&configuration);
    let built = workspace::target().join("release");
    let mut command = Command::new(built.join("demo"));
    command.arg("--nvml").arg(built.join("libglassbox_nvml_stand_in.so")).arg("--config").arg(&configuration);
    command.args(["--agent", &agent.to_string()]);
    processes.start("demo", command)?;
    let started = Instant::now();
    while !configuration.exists() {
        anyhow::ensure!(started.elapsed() < START_TIMEOUT, "the demo is not ready after {START_TIMEOUT:?}");
        processes.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(configuration)
}
