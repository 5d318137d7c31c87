//! The agent of one profile, and the containers that it measures.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use glassbox_tests::{
    containerd::Containerd,
    deployment::{Tools, only, pod::AgentPod},
    http,
    pod::Pod,
    service::free_address,
};

/// An unoptimized agent takes seconds to read the kernel's types, and it is limited to half a CPU.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Time in which everything that works has a value.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(40);
const BRIDGED: &str = "bridged";

/// `app` of a Kubernetes pod serves HTTP in the host's network; `bridged` has a network of its own.
pub(super) struct Workload {
    server: SocketAddr,
    _pod: Pod,
}

impl Workload {
    /// Starts both containers. The error is the reason to skip the test.
    pub(super) fn start(containerd: &Containerd) -> Result<Self, String> {
        let pod = Pod::run(containerd)?;
        let server = free_address();
        let script = format!("echo hello > /index.html; exec httpd -f -p {server}");
        pod.start(0, 0, &["/bin/sh", "-c", &script])?;
        containerd.run("default", BRIDGED, &[], &["/bin/sleep", "600"])?;
        let tasks = containerd.ctr("default", &["tasks", "list"])?;
        let task = tasks.lines().find(|line| line.starts_with(BRIDGED)).ok_or("no task")?;
        let pid = task.split_whitespace().nth(1).ok_or("no process")?;
        let pair = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"];
        let net = format!("--net=/proc/{pid}/ns/net");
        let made = Command::new("nsenter").arg(net).args(pair).status().map_err(|error| error.to_string())?;
        if made.success() {
            Ok(Self { server, _pod: pod })
        } else {
            Err("ip cannot make an interface".into())
        }
    }
}

pub(super) struct Replay<'a> {
    containerd: &'a Containerd,
    pub(super) pod: AgentPod<'a>,
    address: SocketAddr,
    _configuration: tempfile::TempDir,
}

impl<'a> Replay<'a> {
    /// Starts the agent with the profile, and waits for the readiness of its probe.
    pub(super) fn start(containerd: &'a Containerd, tools: &Tools, rootfs: &Path, profile: &str) -> Self {
        let objects = tools.render(&format!(r#"{{"profile": "{profile}"}}"#));
        let configuration = tempfile::tempdir().unwrap();
        for (name, text) in only(&objects, "ConfigMap")["data"].as_object().unwrap() {
            fs::write(configuration.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let spec = &only(&objects, "DaemonSet")["spec"]["template"]["spec"];
        let socket = containerd.socket();
        let replaced = [("/run/containerd", socket.parent().unwrap())];
        let pod = AgentPod::start(containerd, spec, rootfs, configuration.path(), &replaced);
        let pod = pod.unwrap_or_else(|reason| panic!("{profile}: {reason}"));
        let agent = &spec["containers"][0];
        let port = agent["ports"][0]["containerPort"].as_u64().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        let replay = Self { containerd, pod, address, _configuration: configuration };
        let ready = agent["readinessProbe"]["httpGet"]["path"].as_str().unwrap();
        let begun = Instant::now();
        while replay.get(ready).is_none() {
            assert!(begun.elapsed() < START_TIMEOUT, "{profile} is not ready: {}", replay.pod.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        let health = agent["livenessProbe"]["httpGet"]["path"].as_str().unwrap();
        assert!(replay.get(health).is_some(), "{profile} is ready but not healthy");
        replay
    }

    fn get(&self, path: &str) -> Option<String> {
        let answer = self.containerd.sandbox().within(|| http::get(self.address, path)).ok()?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Sends requests to the workload until all `wanted` series have values, and returns a later scrape.
    pub(super) fn measure(&self, workload: &Workload, wanted: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            assert_eq!(http::get(workload.server, "/index.html").unwrap().body, "hello\n");
            let scrape = self.get("/metrics").unwrap_or_default();
            let missing: Vec<_> = wanted.iter().filter(|series| !has(&scrape, series)).collect();
            if missing.is_empty() {
                // Two more ticks, for series that must not be there.
                std::thread::sleep(Duration::from_secs(2));
                return self.get("/metrics").unwrap();
            }
            assert!(begun.elapsed() < SETTLE_TIMEOUT, "no series {missing:?}; log:\n{}", self.pod.log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Whether a scrape has a series that begins with this text.
pub(super) fn has(scrape: &str, series: &str) -> bool {
    scrape.lines().any(|line| line.starts_with(series))
}
