//! `--demo`: GPUs and containers that are made up, for a machine that has none. What makes them up is test code
//! (tests/src/demo.rs, tests/nvml); the agent is the one that everybody runs, told where to look.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::processes::Processes;
use crate::workspace;

/// How long four containers and two drivers may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts it and returns the configuration of the agent, which is to listen on `agent`: the containers begin once it
/// is ready.
pub(super) fn start(processes: &mut Processes, agent: SocketAddr) -> anyhow::Result<PathBuf> {
    println!("Starting two made-up GPUs and four containers");
    let directory = workspace::scratch().join("run/demo");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let configuration = directory.join("demo.toml");
    // One of before would say that all is ready.
    let _ = fs::remove_file(&configuration);
    let built = workspace::target().join("release");
    let mut command = Command::new(built.join("demo"));
    command.arg("--nvml").arg(built.join("libglassbox_nvml_stand_in.so")).arg("--config").arg(&configuration);
    command.args(["--agent", &agent.to_string()]);
    processes.start("the demonstration", command)?;
    let started = Instant::now();
    while !configuration.exists() {
        anyhow::ensure!(
            started.elapsed() < START_TIMEOUT,
            "the demonstration is not ready after {START_TIMEOUT:?}"
        );
        processes.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(configuration)
}
