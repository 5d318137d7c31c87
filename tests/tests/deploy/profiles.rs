//! The pod of each profile, as the chart renders it, runs with the same restrictions in a real Docker: which collectors work
//! there, and whether docs/kubernetes.md says the same.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use glassbox_tests::{
    deployment::{self, Tools, image, only, pod},
    docker::{Container, Docker, Network},
    http, skip,
};

const PROFILES: [&str; 3] = ["restricted", "full", "privileged"];
/// An unoptimized agent takes seconds to read the kernel's types, and it is limited to half a CPU.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Time in which everything that works has a value.
const SETTLE: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;

/// Series of the container `web` that show that a collector not only started: they need programs, cgroup files, /proc of
/// other processes, and Docker's socket.
const SERIES: [(&str, &str); 7] = [
    ("cgroup", "container_cpu_usage_seconds_total"),
    ("scheduler", "glassbox_container_oncpu_seconds_total"),
    ("network", "container_network_receive_bytes_total"),
    ("sockets", "glassbox_container_socket_receive_bytes_total"),
    ("requests", "glassbox_container_http_requests_total"),
    ("threads", "glassbox_container_health"),
    ("oom", "container_oom_events_total"),
];

/// The agent of one profile, with a web server that it measures.
struct Replay<'a> {
    docker: &'a Docker,
    agent: Container<'a>,
    address: SocketAddr,
    _configuration: tempfile::TempDir,
}

impl<'a> Replay<'a> {
    fn start(docker: &'a Docker, tools: &Tools, profile: &str) -> Self {
        let values =
            format!(r#"{{"profile": "{profile}", "runtimes": {{"containerd": false, "docker": true}}}}"#);
        let objects = tools.render(&values);
        let configuration = tempfile::tempdir().unwrap();
        for (name, text) in only(&objects, "ConfigMap")["data"].as_object().unwrap() {
            fs::write(configuration.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let spec = &only(&objects, "DaemonSet")["spec"]["template"]["spec"];
        let replaced = [("/var/run/docker.sock", docker.socket())];
        let mut arguments = vec!["run".to_owned(), "--detach".into(), format!("--name=agent-{profile}")];
        arguments.extend(pod::docker_arguments(spec, configuration.path(), &replaced));
        arguments.push(image::IMAGE.into());
        let command = spec["containers"][0]["args"].as_array().unwrap();
        arguments.extend(command.iter().map(|word| word.as_str().unwrap().to_owned()));
        let id = docker.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let agent = Container::adopt(docker, id);
        let address = pod::address(docker, &agent.id, spec);
        let replay = Self { docker, agent, address, _configuration: configuration };
        let ready = spec["containers"][0]["readinessProbe"]["httpGet"]["path"].as_str().unwrap();
        let begun = Instant::now();
        while replay.get(ready).is_none() {
            assert!(begun.elapsed() < START_TIMEOUT, "{profile} is not ready: {}", replay.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        replay
    }

    fn get(&self, path: &str) -> Option<String> {
        let sandbox = self.docker.daemon().sandbox();
        let answer = sandbox.within(|| http::get(self.address, path)).ok()?;
        (answer.status == 200).then_some(answer.body)
    }

    fn log(&self) -> String {
        let output = self.docker.try_run(&["logs", &self.agent.id]).unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Serves requests until all `wanted` series of the server have values, and returns the last scrape.
    fn measure(&self, wanted: &[&str]) -> String {
        let server = format!("echo hello > /index.html; exec httpd -f -p {PORT}");
        let web = Container::run(self.docker, "web", &[], &["sh", "-c", &server]);
        let ip = web.inspect("{{.NetworkSettings.IPAddress}}");
        let server: SocketAddr = format!("{ip}:{PORT}").parse().unwrap();
        let sandbox = self.docker.daemon().sandbox();
        let begun = Instant::now();
        loop {
            let _ = sandbox.within(|| http::get(server, "/index.html"));
            let scrape = self.get("/metrics").unwrap_or_default();
            if wanted.iter().all(|name| has_series(&scrape, name)) {
                // One more second for series that must not be there.
                std::thread::sleep(Duration::from_secs(1));
                return self.get("/metrics").unwrap();
            }
            let missing: Vec<_> = wanted.iter().filter(|name| !has_series(&scrape, name)).collect();
            assert!(begun.elapsed() < SETTLE, "no series {missing:?} of web; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn has_series(scrape: &str, family: &str) -> bool {
    let of_web = |line: &str| line.starts_with(&format!("{family}{{")) && line.contains("container=\"web\"");
    scrape.lines().any(of_web)
}

/// The collectors and whether they work, from a scrape.
fn collectors(scrape: &str) -> BTreeMap<String, bool> {
    let lines = scrape.lines().filter_map(|line| line.strip_prefix("glassbox_collector_up{collector=\""));
    lines
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(name, up)| (name.to_owned(), up == "1"))
        .collect()
}

/// The table of docs/kubernetes.md: whether a collector works, by collector and profile.
fn documented() -> BTreeMap<String, Vec<bool>> {
    let text = fs::read_to_string(deployment::repository().join("docs/kubernetes.md")).unwrap();
    let (_, table) = text.split_once("| collector | restricted | full | privileged |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let works = |cell: &&str| match *cell {
            "yes" => true,
            "no" => false,
            other => panic!("neither yes nor no: {other}"),
        };
        (cells[0].trim_matches('`').to_owned(), cells[1..].iter().map(works).collect())
    };
    rows.map(row).collect()
}

/// What the kernel enforces on the agent's process, from its /proc/PID/status.
fn status_of(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

#[test]
fn the_collectors_of_each_profile_are_those_of_the_documentation() {
    let test = "the_collectors_of_each_profile_are_those_of_the_documentation";
    let (tools, docker) = match Tools::find().and_then(|tools| Ok((tools, Docker::own(Network::Bridge)?))) {
        Ok(found) => found,
        Err(reason) => return skip(test, &reason),
    };
    image::build(&docker);
    let table = documented();
    for (index, profile) in PROFILES.into_iter().enumerate() {
        let works = |collector: &str| table[collector][index];
        let replay = Replay::start(&docker, &tools, profile);
        let pid = replay.agent.pid();
        // BPF, PERFMON, NET_ADMIN, SYS_PTRACE and DAC_READ_SEARCH by their bits.
        let bits = 1_u64 << 39 | 1 << 38 | 1 << 19 | 1 << 2 | if profile == "full" { 1 << 12 } else { 0 };
        if profile != "privileged" {
            assert_eq!(u64::from_str_radix(&status_of(pid, "CapBnd:"), 16), Ok(bits), "{profile}");
            assert_eq!(
                (status_of(pid, "NoNewPrivs:").as_str(), status_of(pid, "Seccomp:").as_str()),
                ("1", "2")
            );
        }
        let wanted: Vec<_> =
            SERIES.iter().filter(|(collector, _)| works(collector)).map(|(_, name)| *name).collect();
        let scrape = replay.measure(&wanted);
        for (collector, family) in SERIES {
            assert_eq!(has_series(&scrape, family), works(collector), "{profile}: {family}");
        }
        let found = collectors(&scrape);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            table.keys().collect::<Vec<_>>(),
            "collectors of the table"
        );
        for (collector, up) in found {
            assert_eq!(up, works(&collector), "{profile}: {collector}; log:\n{}", replay.log());
        }
    }
}
