//! The agent's CPU time while a container serves a constant rate of requests, and while it serves none. `cargo xtask bench`
//! runs this program and makes a table of its JSON.

use std::time::{Duration, Instant};

use anyhow::ensure;
use glassbox_fixtures::exposition::families;
use glassbox_tests::{
    agent::Agent,
    measure::{cpu_time, end_by_rest, flag, rest},
    web::{Nginx, client::Client},
};
use serde_json::json;

/// Not measured: the agent finds the container.
const WARM_UP: Duration = Duration::from_secs(4);

fn main() -> anyhow::Result<()> {
    end_by_rest();
    let window = Duration::from_secs_f64(flag("--seconds")?);
    let rate: u32 = flag("--rate")?;
    // First, because it does not know on which ports older containers of the host network listen.
    let agent = Agent::with_collector("requests", "docker.enabled = false\n").map_err(anyhow::Error::msg)?;
    let nginx = Nginx::start().map_err(anyhow::Error::msg)?;
    rest(WARM_UP)?;
    let (idle, _) = cpu_ratio(&agent, || rest(window).map(|()| 0))?;
    let before = counted(&agent, &nginx.container.id);
    let mut client = Client::connect(nginx.address, rate)?;
    let (serving, sent) = cpu_ratio(&agent, || client.send_for(window))?;
    // The agent reads its counts at each tick.
    rest(WARM_UP)?;
    let counted = counted(&agent, &nginx.container.id) - before;
    ensure!(counted == sent, "the agent counted {counted} of {sent} requests");
    let served = sent as f64 / window.as_secs_f64();
    println!(
        "{}",
        json!({ "cpu_idle_ratio": idle, "cpu_serving_ratio": serving, "requests_per_second": served })
    );
    Ok(())
}

/// The share of one CPU that the agent uses while `work` runs, with the result of `work`.
fn cpu_ratio(agent: &Agent, work: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<(f64, u64)> {
    let (before, begun) = (cpu_time(agent.pid())?, Instant::now());
    let result = work()?;
    Ok(((cpu_time(agent.pid())? - before).as_secs_f64() / begun.elapsed().as_secs_f64(), result))
}

/// Requests of the container that the agent has counted.
fn counted(agent: &Agent, id: &str) -> u64 {
    let samples = families(&agent.metrics()).into_iter().flat_map(|family| family.samples);
    let own = samples.filter(|sample| {
        let name = sample.labels.get("container").map_or("", String::as_str);
        sample.name == "glassbox_container_http_requests_total" && !name.is_empty() && id.starts_with(name)
    });
    own.map(|sample| sample.value as u64).sum()
}
