//! The CPU time of the agent's NVML thread by sampling interval. The library answers immediately, so only the agent's share
//! is measured. `cargo xtask bench` runs this program and makes a table of its JSON.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use glassbox_tests::{
    agent::Agent,
    measure::{end_by_rest, flag, rest},
    nvml::{self, StandIn},
};
use serde_json::{Map, json};

/// The name of the thread.
const THREAD: &str = "glassbox-nvml";
/// Sampling intervals, in milliseconds: the default, and the default tick.
const SAMPLES_MS: [u64; 2] = [200, 1000];
/// Not measured: the agent loads the library and resolves the names of the processes on the GPUs.
const WARM_UP: Duration = Duration::from_secs(3);
const GPUS: u32 = 2;
/// Number of processes on each GPU.
const PROCESSES: u32 = 20;

fn main() -> anyhow::Result<()> {
    end_by_rest();
    let library: PathBuf = flag("--nvml")?;
    let window = Duration::from_secs_f64(flag("--seconds")?);
    let mut host = nvml::host();
    let gpus = (0..GPUS).map(|minor| {
        let mut gpu = nvml::gpu(&format!("GPU-{minor}"), minor);
        let process = |pid: u32| json!({ "pid": pid, "memory": 1 << 30, "utilization": { "sm": 4 } });
        gpu["processes"] = (1..=PROCESSES).map(process).collect();
        gpu
    });
    host["devices"] = gpus.collect();
    let mut report = Map::new();
    for sample_ms in SAMPLES_MS {
        let stand_in = StandIn::of(&library, &host);
        let agent = Agent::start(&format!(
            "docker.enabled = false\n[nvml]\nlibrary = {:?}\nsample_ms = {sample_ms}\n",
            stand_in.library()
        ));
        rest(WARM_UP)?;
        let before = cpu_ns(agent.pid())?;
        rest(window)?;
        let used = Duration::from_nanos(cpu_ns(agent.pid())? - before);
        report.insert(sample_ms.to_string(), json!(used.as_secs_f64() / window.as_secs_f64()));
    }
    println!("{}", json!({ "gpus": GPUS, "processes": PROCESSES, "cpu_ratio_by_sample_ms": report }));
    Ok(())
}

/// CPU time of the thread: the first number in its schedstat.
fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    for task in fs::read_dir(&tasks).with_context(|| format!("list {}", tasks.display()))? {
        let task = task.context("list threads")?.path();
        if fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == THREAD) {
            let text = fs::read_to_string(task.join("schedstat")).context("read schedstat")?;
            return text.split(' ').next().and_then(|ns| ns.parse().ok()).context("read schedstat");
        }
    }
    anyhow::bail!("find the thread {THREAD} of process {pid}")
}
