//! The agent's CPU time while a container serves a constant rate of requests, and while it serves none. `cargo xtask bench`
//! runs this program and makes a table of its JSON.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use glassbox_fixtures::exposition::families;
use glassbox_tests::{
    agent::Agent,
    measure::{cpu_time, end_by_rest, flag, rest},
    web::Nginx,
};
use serde_json::json;

/// Not measured: the agent finds the container.
const WARM_UP: Duration = Duration::from_secs(4);
/// One request per connection in this time.
const INTERVAL: Duration = Duration::from_millis(1);

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

/// Connections that are kept alive, each of which sends a request in each [`INTERVAL`].
struct Client {
    connections: Vec<TcpStream>,
    request: String,
}

impl Client {
    fn connect(address: SocketAddr, rate: u32) -> anyhow::Result<Self> {
        let connections = f64::from(rate) * INTERVAL.as_secs_f64();
        let connect = |_| {
            let connection = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
            connection.set_nodelay(true).context("disable Nagle's algorithm")?;
            Ok(connection)
        };
        let connections = (0..connections.ceil() as u32).map(connect).collect::<anyhow::Result<_>>()?;
        Ok(Self { connections, request: format!("GET /1k HTTP/1.1\r\nHost: {address}\r\n\r\n") })
    }

    /// Sends requests for a time and returns their number. Late intervals are made up for.
    fn send_for(&mut self, time: Duration) -> anyhow::Result<u64> {
        let (begun, mut sent) = (Instant::now(), 0);
        let mut next = begun;
        while begun.elapsed() < time {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += INTERVAL;
            for connection in &mut self.connections {
                connection.write_all(self.request.as_bytes()).context("send a request")?;
            }
            for connection in &mut self.connections {
                read_response(connection)?;
                sent += 1;
            }
        }
        Ok(sent)
    }
}

/// Reads a response with a body of 1 KiB.
fn read_response(connection: &mut TcpStream) -> anyhow::Result<()> {
    let (mut received, mut length) = ([0; 4096], 0);
    loop {
        let count = connection.read(&mut received[length..]).context("read a response")?;
        ensure!(count > 0, "nginx closed the connection");
        length += count;
        let head = received[..length].windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| length >= head + 4 + 1024) {
            return Ok(());
        }
    }
}
