//! The agent's cost with many containers, compared with cAdvisor and node_exporter on the same host at the same time: CPU
//! time, memory, scrape duration, and time from start to the first complete scrape.
//!
//! `--real` starts containers with Docker, `--facefusion` those in which a shell looks like an idle FaceFusion. Otherwise they
//! are cgroups with Docker's names in every hierarchy that the agent reads. `cargo xtask bench` runs this program and makes a
//! table of its JSON.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, fresh_id, v2_root},
    docker::{Container, Docker, Network},
    measure::{Answer, cpu_time, end_by_rest, flag, get, rest, rss_bytes, thread_cpu_time},
    service::free_address,
};
use serde_json::{Map, Value, json};

/// Time between the first complete scrape and the measurement. The collector `facefusion` looks at a container more often
/// before it has known it for 15 s.
const WARM_UP: Duration = Duration::from_secs(20);
/// Time in which an exporter must export every container.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(60);
/// Number of consecutive requests.
const BURST: usize = 50;
/// A container that wakes up once a second.
const IDLE: &str = "while :; do sleep 1; done";
/// The directories of FaceFusion's jobs.
const JOBS: &str = "mkdir -p .jobs/drafted .jobs/queued .jobs/completed .jobs/failed";

fn main() -> anyhow::Result<()> {
    end_by_rest();
    let count: usize = flag("--containers")?;
    let has = |flag| std::env::args().any(|word| word == flag);
    let has_facefusion = has("--facefusion");
    let real = has("--real") || has_facefusion;
    let script = if has_facefusion { format!("{JOBS}; {IDLE}") } else { IDLE.to_owned() };
    // The word after a script is the name of the shell.
    let command = ["sh", "-c", &script, if has_facefusion { "facefusion.py" } else { "sh" }, "run"];
    let docker = if real { Some(Docker::own(Network::None).map_err(anyhow::Error::msg)?) } else { None };
    let _containers = docker.as_ref().map(|docker| run_containers(docker, count, &command)).transpose()?;
    let _cgroups = if real { Vec::new() } else { make_cgroups(count)? };
    let socket = docker.as_ref().map(|docker| docker.socket().to_owned());
    let directory = tempfile::tempdir().context("make a directory")?;
    let kinds = kinds(socket.as_deref(), count, directory.path())?;

    let mut running = kinds.iter().map(Exporter::start).collect::<anyhow::Result<Vec<_>>>()?;
    for exporter in &mut running {
        exporter.wait_until_complete()?;
    }
    rest(WARM_UP)?;
    let window = Duration::from_secs_f64(flag("--seconds")?);
    // The agent is the first exporter. Its thread looks into every container for FaceFusion.
    let facefusion = || thread_cpu_time(running[0].child.id(), "glassbox-facefusion");
    let before = facefusion()?;
    let idle = cpu_ratios(&running, || rest(window))?;
    let facefusion_ratio = (facefusion()? - before).as_secs_f64() / window.as_secs_f64();
    let mut fresh = vec![Vec::new(); running.len()];
    let scraped = cpu_ratios(&running, || scrape_every_second(&running, window, &mut fresh))?;
    let mut report = Map::new();
    for (index, exporter) in running.iter().enumerate() {
        let mut facts = exporter.facts()?;
        facts["cpu_idle_ratio"] = json!(idle[index]);
        facts["cpu_scraped_ratio"] = json!(scraped[index]);
        facts["fresh_s"] = json!(fresh[index]);
        report.insert(exporter.kind.name.into(), facts);
    }
    report["glassbox"]["facefusion_ratio"] = json!(facefusion_ratio);
    drop(running);
    let starts: usize = flag("--starts")?;
    for kind in &kinds {
        let times = (0..kind.starts(starts)).map(|_| Exporter::start_to_complete(kind));
        report[kind.name]["start_s"] = json!(times.collect::<anyhow::Result<Vec<f64>>>()?);
    }
    println!("{}", json!({ "containers": count, "real": real, "exporters": report }));
    Ok(())
}

/// Starts containers. Docker needs a while for each, so four are started at a time.
fn run_containers<'a>(
    docker: &'a Docker,
    count: usize,
    command: &[&str],
) -> anyhow::Result<Vec<Container<'a>>> {
    let start = |lane: usize| {
        let numbers = (lane..count).step_by(4);
        let run = |number| Container::run(docker, &format!("bench-{number}"), &["--network=none"], command);
        numbers.map(run).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4).map(|lane| scope.spawn(move || start(lane))).collect();
        let mut all = Vec::new();
        for lane in lanes {
            all.extend(lane.join().map_err(|_| anyhow::anyhow!("start the containers"))?);
        }
        Ok(all)
    })
}

/// Creates empty cgroups with Docker's names, in every hierarchy of this host.
fn make_cgroups(count: usize) -> anyhow::Result<Vec<Cgroup>> {
    let v1 = ["cpu", "cpuacct", "memory", "blkio", "pids"].map(|name| Path::new(ROOT).join(name));
    let trees: Vec<_> =
        v1.into_iter().filter(|tree| tree.join("cgroup.procs").exists()).chain(v2_root()).collect();
    let mut cgroups = Vec::new();
    for _ in 0..count {
        let path = format!("docker/{}", fresh_id());
        for tree in &trees {
            cgroups.push(Cgroup::new(tree, &path).with_context(|| format!("make {path}"))?);
        }
    }
    Ok(cgroups)
}

/// An exporter.
struct Kind {
    name: &'static str,
    program: String,
    arguments: Vec<String>,
    /// Prefixes of the lines that it exports once per container; empty for an exporter of the host, which has none.
    line: &'static str,
    containers: usize,
}

impl Kind {
    /// The number of starts to measure. It is smaller for exporters that take seconds.
    fn starts(&self, wanted: usize) -> usize {
        if self.name == "cadvisor" { wanted.div_ceil(3) } else { wanted }
    }

    fn command(&self, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        match self.name {
            "glassbox" => command.args(["--listen", &address.to_string()]),
            "cadvisor" => command.args([
                "-listen_ip".into(),
                address.ip().to_string(),
                "-port".into(),
                address.port().to_string(),
            ]),
            _ => command.arg(format!("--web.listen-address={address}")),
        };
        command
    }
}

/// The agent, and the exporters whose programs are given.
fn kinds(socket: Option<&Path>, containers: usize, directory: &Path) -> anyhow::Result<Vec<Kind>> {
    let none = Path::new("/nonexistent/docker.sock");
    let docker = match socket {
        Some(socket) => format!("[docker]\nsocket = {socket:?}\n"),
        None => "[docker]\nenabled = false\n".into(),
    };
    // The default limit is 256 containers, so a host with more needs this key.
    let most = containers.max(256).next_power_of_two();
    let file = directory.join("agent.toml");
    fs::write(&file, format!("log = \"warn\"\n[containers]\nmax = {most}\n{docker}"))
        .with_context(|| format!("write {}", file.display()))?;
    let mut kinds = vec![Kind {
        name: "glassbox",
        program: flag("--agent")?,
        arguments: vec!["run".into(), "--config".into(), file.display().to_string()],
        line: "container_last_seen{",
        containers,
    }];
    if let Ok(program) = flag("--cadvisor") {
        let socket = format!("unix://{}", socket.unwrap_or(none).display());
        // Its log is written to the directory, because it cannot be disabled.
        let log = format!("-log_dir={}", directory.display());
        let arguments = ["-docker", &socket, "-logtostderr=false", "-stderrthreshold=3", &log];
        kinds.push(Kind {
            name: "cadvisor",
            program,
            arguments: arguments.map(str::to_owned).to_vec(),
            line: "container_last_seen{",
            containers,
        });
    }
    if let Ok(program) = flag("--node-exporter") {
        kinds.push(Kind {
            name: "node_exporter",
            program,
            arguments: Vec::new(),
            line: "node_",
            containers: 1,
        });
    }
    Ok(kinds)
}

/// A running exporter, which is killed when dropped.
struct Exporter<'a> {
    kind: &'a Kind,
    address: SocketAddr,
    child: Child,
    begun: Instant,
}

impl Drop for Exporter<'_> {
    fn drop(&mut self) {
        // Fails if it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Exporter<'a> {
    fn start(kind: &'a Kind) -> anyhow::Result<Self> {
        let address = free_address();
        let mut command = kind.command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("start {}", kind.name))?;
        Ok(Self { kind, address, child, begun })
    }

    /// Waits until it exports every container. Returns the time since its start.
    fn wait_until_complete(&mut self) -> anyhow::Result<Duration> {
        loop {
            if let Ok(answer) = get(self.address, "/metrics", false)
                && answer.status == 200
                && answer.lines_with(self.kind.line) >= self.kind.containers
            {
                return Ok(self.begun.elapsed());
            }
            let ended = self.child.try_wait().context("check whether it runs")?;
            ensure!(ended.is_none(), "{} ended: {ended:?}", self.kind.name);
            ensure!(
                self.begun.elapsed() < COMPLETE_TIMEOUT,
                "{} does not export every container",
                self.kind.name
            );
            rest(Duration::from_millis(1))?;
        }
    }

    fn start_to_complete(kind: &'a Kind) -> anyhow::Result<f64> {
        Ok(Self::start(kind)?.wait_until_complete()?.as_secs_f64())
    }

    fn scrape(&self, gzip: bool) -> anyhow::Result<Answer> {
        self.request("/metrics", gzip)
    }

    fn request(&self, path: &str, gzip: bool) -> anyhow::Result<Answer> {
        let answer = get(self.address, path, gzip)?;
        ensure!(answer.status == 200, "{} answers {path} with {}", self.kind.name, answer.status);
        Ok(answer)
    }

    /// The page for people. No peer has one that lists the state of all containers.
    fn pages(&self) -> anyhow::Result<Vec<Answer>> {
        let requests = if self.kind.name == "glassbox" { BURST } else { 0 };
        (0..requests).map(|_| self.request("/", false)).collect()
    }

    /// Memory, and the durations of consecutive scrapes.
    fn facts(&self) -> anyhow::Result<Value> {
        let burst = if self.kind.name == "cadvisor" { BURST / 5 } else { BURST };
        let burst = |gzip| (0..burst).map(|_| self.scrape(gzip)).collect::<anyhow::Result<Vec<_>>>();
        let (plain, gzip) = (burst(false)?, burst(true)?);
        let times =
            |answers: &[Answer]| -> Vec<f64> { answers.iter().map(|one| one.took.as_secs_f64()).collect() };
        let size = |answers: &[Answer]| answers.last().map_or(0, |answer| answer.body.len());
        let pages = self.pages()?;
        let text = plain.last().map(|answer| String::from_utf8_lossy(&answer.body)).unwrap_or_default();
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        let of = |name: &str| -> f64 {
            let values = text.lines().filter(|line| line.starts_with(name));
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(json!({
            "rss_bytes": rss_bytes(self.child.id())?,
            "burst_s": times(&plain),
            "burst_gzip_s": times(&gzip),
            "page_s": times(&pages),
            "page_bytes": size(&pages),
            "bytes": size(&plain),
            "gzip_bytes": size(&gzip),
            "samples": samples,
            "map_bytes": of("glassbox_map_memory_bytes{"),
            "tick_s": of("glassbox_tick_duration_seconds "),
        }))
    }
}

/// The share of one CPU that each exporter uses while `work` runs.
fn cpu_ratios(
    exporters: &[Exporter<'_>],
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let times = || exporters.iter().map(|it| cpu_time(it.child.id())).collect::<anyhow::Result<Vec<_>>>();
    let (before, begun) = (times()?, Instant::now());
    work()?;
    let (after, elapsed) = (times()?, begun.elapsed());
    let ratio =
        |(after, before): (Duration, Duration)| (after - before).as_secs_f64() / elapsed.as_secs_f64();
    Ok(after.into_iter().zip(before).map(ratio).collect())
}

/// Scrapes each exporter once a second, so that the agent has a new snapshot for each scrape.
fn scrape_every_second(
    exporters: &[Exporter<'_>],
    window: Duration,
    times: &mut [Vec<f64>],
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut round = 1;
    while begun.elapsed() < window {
        for (exporter, times) in exporters.iter().zip(times.iter_mut()) {
            times.push(exporter.scrape(false)?.took.as_secs_f64());
        }
        rest((begun + Duration::from_secs(round)).saturating_duration_since(Instant::now()))?;
        round += 1;
    }
    Ok(())
}
