//! The measurements of `cargo xtask gpu-check` on a machine with a GPU: whether the hooks attach, which requests CUDA's
//! calls send, how the driver reports exhausted memory, how often NVML samples, and what tracing costs. They need one GPU,
//! about three minutes and no network. The container is a cgroup with `cuda-work` in it.
//!
//! The results are JSON. xtask writes docs/gpu-validation.md from them.

mod account;
mod worker;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::{account::Account, worker::Worker};
use crate::agent::{self, Agent};

/// Tick of the agent that watches.
const TICK: Duration = Duration::from_millis(250);
/// More pieces of [`PIECE_BYTES`] than any GPU has memory for.
const PIECES_MAX: u64 = 4096;
const PIECE_BYTES: u64 = 256 << 20;

/// What to check, and for how long.
pub struct Options {
    /// Keys of the agent's configuration in addition to the tick.
    pub configuration: String,
    /// Whether to continue if other processes use the GPUs.
    pub shared: bool,
    /// The program `cuda-work`.
    pub cuda_work: PathBuf,
    /// The CUDA driver's library.
    pub library: PathBuf,
    /// Duration of the steady workload.
    pub steady: Duration,
    /// Number of runs with and without the agent.
    pub rounds: usize,
    /// Duration of each run.
    pub slice: Duration,
}

/// Runs all checks.
///
/// # Errors
/// If the agent cannot trace the driver, or CUDA does not work. The error contains the remedy.
pub fn run(options: &Options) -> anyhow::Result<Value> {
    let configuration = format!("tick_ms = {}\n{}", TICK.as_millis(), options.configuration);
    let report = report(&configuration)?;
    let watched = watch(options, &configuration)?;
    let overhead = overhead(options, &configuration)?;
    Ok(json!({ "check": report, "watched": watched, "overhead": overhead }))
}

/// The output of `glassbox check`.
fn report(configuration: &str) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new().context("make a file")?;
    std::fs::write(file.path(), configuration).context("write the configuration")?;
    let mut command = Command::new(agent::binary());
    let output =
        command.arg("check").arg("--config").arg(file.path()).output().context("run glassbox check")?;
    String::from_utf8(output.stdout).context("read the output of glassbox check")
}

/// Starts the agent and waits until it traces the driver.
fn tracing_agent(configuration: &str) -> anyhow::Result<Agent> {
    let agent = Agent::start(configuration);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let metrics = agent.metrics();
        let attached = |line: &str| {
            line.starts_with("glassbox_probe_attached")
                && line.contains("\"nvidia_driver\"")
                && line.ends_with(" 1")
        };
        if metrics.lines().any(attached) {
            return Ok(agent);
        }
        ensure!(
            Instant::now() < deadline,
            "no program is attached to the NVIDIA driver (is it loaded?); `glassbox check` shows the reason"
        );
        thread::sleep(TICK);
    }
}

/// Runs every step of the workload. Returns each with the change of the agent's metrics.
fn watch(options: &Options, configuration: &str) -> anyhow::Result<Value> {
    let agent = tracing_agent(configuration)?;
    ensure!(
        options.shared || processes(&agent) == 0.0,
        "processes use the GPUs and would fail when this check fills their memory: stop them, or continue with --shared"
    );
    let mut steps = Vec::new();
    let mut spinning = Worker::start(&options.cuda_work, &options.library)?;
    let mut step = |worker: &mut Worker, what: &str, command: &str| -> anyhow::Result<Account> {
        let before = Account::of(&agent, worker.container());
        let (begun, answer) = (Instant::now(), worker.send(command)?);
        let seconds = begun.elapsed().as_secs_f64();
        // One tick may be in progress, so wait for more than two.
        thread::sleep(TICK * 3);
        let seen = Account::of(&agent, worker.container());
        steps.push(json!({
            "step": what, "seconds": seconds, "answer": answer, "seen": seen.since(&before).to_json(),
        }));
        Ok(seen)
    };
    step(&mut spinning, "a context", "context spin")?;
    for (what, bytes, count) in [
        ("1,000 x cuMemAlloc of 1 KiB", 1_u64 << 10, 1_000_u64),
        ("100 x cuMemAlloc of 1 MiB", 1 << 20, 100),
        ("10 x cuMemAlloc of 64 MiB", 64 << 20, 10),
    ] {
        step(&mut spinning, what, &format!("allocate {bytes} {count}"))?;
        step(&mut spinning, "cuMemFree of these", "free")?;
    }
    step(
        &mut spinning,
        "cuMemAlloc of 256 MiB until refused",
        &format!("allocate {PIECE_BYTES} {PIECES_MAX}"),
    )?;
    let full = step(&mut spinning, "cuMemFree of these", "free")?;
    let steady = format!("launch {}", options.steady.as_millis());
    step(&mut spinning, "kernels, waiting by spinning", &steady)?;
    drop(spinning);
    let mut blocking = Worker::start(&options.cuda_work, &options.library)?;
    step(&mut blocking, "a context that waits by sleeping", "context block")?;
    step(&mut blocking, "kernels, waiting by sleeping", &steady)?;
    let cold_start = full.phases();
    Ok(json!({ "steps": steps, "cold_start_seconds": cold_start, "nvml": nvml(&agent, options.steady)? }))
}

/// The number of processes on all GPUs. NVML's first reading is in the second snapshot at the latest.
fn processes(agent: &Agent) -> f64 {
    thread::sleep(Duration::from_secs(2));
    let metrics = agent.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with("glassbox_gpu_processes{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The driver's sampling rate, by the agent's counters.
fn nvml(agent: &Agent, watched: Duration) -> anyhow::Result<Value> {
    let samples = |metrics: &str| -> f64 {
        let counts =
            metrics.lines().filter(|line| line.starts_with("glassbox_gpu_utilization_samples_ratio_count"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let gpus = |metrics: &str| metrics.lines().filter(|line| line.starts_with("glassbox_gpu_info{")).count();
    let (first, begun) = (agent.metrics(), Instant::now());
    thread::sleep(watched);
    let last = agent.metrics();
    let rate = (samples(&last) - samples(&first)) / begun.elapsed().as_secs_f64();
    let infos = last.lines().filter(|line| line.starts_with("glassbox_gpu_info{"));
    let infos: Vec<_> = infos.map(account::labels).collect();
    Ok(json!({ "gpus": infos, "samples_per_second": rate / gpus(&last).max(1) as f64 }))
}

/// The same workload with and without the agent, in turn.
fn overhead(options: &Options, configuration: &str) -> anyhow::Result<Value> {
    let mut worker = Worker::start(&options.cuda_work, &options.library)?;
    worker.send("context spin")?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let off = timed(&mut worker, options.slice)?;
        let agent = tracing_agent(configuration)?;
        let on = timed(&mut worker, options.slice)?;
        drop(agent);
        rounds.push(json!({ "off": off, "on": on }));
    }
    Ok(json!(rounds))
}

/// Kernels per second, and pairs of allocation and free per second.
fn timed(worker: &mut Worker, slice: Duration) -> anyhow::Result<Value> {
    let mut rate = |command: &str| -> anyhow::Result<f64> {
        let answer = worker.send(&format!("{command} {}", slice.as_millis()))?;
        let number = |key: &str| answer[key].as_f64().with_context(|| format!("find {key} in {answer}"));
        Ok(number("runs")? / number("seconds")?)
    };
    Ok(json!({ "launches_per_second": rate("launch")?, "allocations_per_second": rate("churn")? }))
}

/// The library of the CUDA driver, as the dynamic linker finds it.
#[must_use]
pub fn cuda_library() -> &'static Path {
    Path::new("libcuda.so.1")
}
