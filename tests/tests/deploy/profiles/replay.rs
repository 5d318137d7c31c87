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
    nvml::{self, StandIn},
    pod::Pod,
    service::free_address,
};
use serde_json::{Value, json};

/// An unoptimized agent takes seconds to read the kernel's types, and it is limited to half a CPU.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Time in which everything that works has a value.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(40);
const BRIDGED: &str = "bridged";
const NVML: &str = "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1";

/// Containers that the agent measures: `bridged` has a network of its own, and [`App`] has not.
pub(super) struct Workload<'a> {
    containerd: &'a Containerd,
    gpus: StandIn,
    pod: Pod,
}

/// The container `app` of a Kubernetes pod. It serves HTTP in the host's network, and is a process on a simulated GPU.
pub(super) struct App<'a> {
    containerd: &'a Containerd,
    id: String,
    server: SocketAddr,
}

impl<'a> Workload<'a> {
    /// Starts `bridged`. The error is the reason to skip the test.
    pub(super) fn start(containerd: &'a Containerd) -> Result<Self, String> {
        let pod = Pod::run(containerd)?;
        containerd.run("default", BRIDGED, &[], &["/bin/sleep", "600"])?;
        let net = format!("--net=/proc/{}/ns/net", process_of(containerd, "default", BRIDGED)?);
        let pair = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"];
        let made = Command::new("nsenter").arg(net).args(pair).status().map_err(|error| error.to_string())?;
        if !made.success() {
            return Err("ip cannot make an interface".into());
        }
        Ok(Self { containerd, gpus: StandIn::new(&nvml::host()), pod })
    }

    /// Copies the library of the simulated GPU to where NVIDIA's container runtime mounts the real one.
    pub(super) fn add_gpu_to(&self, rootfs: &Path) {
        fs::copy(self.gpus.library(), rootfs.join(NVML)).unwrap();
        Self::set_gpus(rootfs, &nvml::host());
    }

    /// Starts `app`, after the agent: the ports of older containers on the host's network are unknown.
    pub(super) fn serve(&self, attempt: usize, rootfs: &Path) -> App<'a> {
        let server = free_address();
        let script = format!("echo hello > /index.html; exec httpd -f -p {server}");
        let attempt = u32::try_from(attempt).unwrap();
        let id = self.pod.start(attempt, 0, &["/bin/sh", "-c", &script]).unwrap();
        let process =
            json!({ "pid": process_of(self.containerd, "k8s.io", &id).unwrap(), "memory": 3_u64 << 30 });
        let mut gpus = nvml::host();
        gpus["devices"][0]["processes"] = json!([process]);
        Self::set_gpus(rootfs, &gpus);
        App { containerd: self.containerd, id, server }
    }

    /// The library reads this file at each call.
    fn set_gpus(rootfs: &Path, scenario: &Value) {
        let next = rootfs.join("next.json");
        fs::write(&next, scenario.to_string()).unwrap();
        fs::rename(next, rootfs.join(format!("{NVML}.json"))).unwrap();
    }
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        let _ = self.containerd.ctr("k8s.io", &["tasks", "kill", "--signal", "SIGKILL", &self.id]);
    }
}

/// The first process of a container, on the host.
fn process_of(containerd: &Containerd, namespace: &str, id: &str) -> Result<u32, String> {
    let tasks = containerd.ctr(namespace, &["tasks", "list"])?;
    let task = tasks.lines().find(|line| line.starts_with(id)).ok_or(format!("no task {id}"))?;
    let pid = task.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
    pid.ok_or(format!("no process ID: {task}"))
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

    /// Sends requests to the server until all `wanted` series have values, and returns a later scrape.
    pub(super) fn measure(&self, app: &App<'_>, wanted: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            // It fails while the server starts.
            let _ = http::get(app.server, "/index.html");
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
