//! An agent under load is killed, started and terminated. Nothing is left in the kernel.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    cgroup::{Cgroup, fresh_id, v2_root},
    kernel_objects::KernelObjects,
    nvml::{StandIn, host},
    service::free_address,
    skip,
    worker::{Work, Worker},
};
use serde_json::json;

/// Containers, each with programs on its cgroup.
const CONTAINERS: usize = 400;
/// The longest time from SIGTERM to the exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time under load.
const LIFE: Duration = Duration::from_secs(1);

/// Cgroups of containers without processes.
struct Crowd(Cgroup, Vec<String>);

impl Crowd {
    fn new(root: &std::path::Path) -> Self {
        let parent = Cgroup::new(root, &format!("glassbox-crowd-{}", std::process::id())).unwrap();
        let ids: Vec<_> = (0..CONTAINERS).map(|_| fresh_id()).collect();
        for id in &ids {
            fs::create_dir(parent.path().join(id)).unwrap();
        }
        Self(parent, ids)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for id in &self.1 {
            let _ = fs::remove_dir(self.0.path().join(id));
        }
    }
}

/// Clients that request all metrics and do not read them.
fn slow_scrapers(address: SocketAddr) -> Vec<TcpStream> {
    let stalled = (0..8).map(|_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    });
    stalled.collect()
}

/// Waits until the programs of the collector `sockets` are attached to the crowd.
fn wait_for_attachments(agent: &Agent, before: &KernelObjects) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let links =
        || KernelObjects::now().since(before).iter().filter(|object| object.starts_with("link")).count();
    while links() < CONTAINERS {
        assert!(Instant::now() < deadline, "{} links: {}", links(), agent.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_killed_or_terminated_agent_under_load_leaves_nothing() {
    let test = "a_killed_or_terminated_agent_under_load_leaves_nothing";
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let Some(root) = v2_root().filter(|_| is_root) else {
        return skip(test, "needs root and a v2 hierarchy");
    };
    let mut scenario = host();
    scenario["hang_s"] = json!({ "nvmlDeviceGetPowerUsage": 600 });
    let nvml = StandIn::new(&scenario);
    let configuration = format!(
        "tick_ms = 500\n[docker]\nenabled = false\n[containers]\nmax = 1024\n[nvml]\nlibrary = {:?}\n",
        nvml.library()
    );
    let before = KernelObjects::now();
    let (cgroup, _) = Cgroup::container(&root).unwrap();
    let worker = Worker::start(&cgroup, Work::SpinAndSleep, None);
    worker.go();
    let crowd = Crowd::new(&root);
    let address = free_address();

    let mut killed = Agent::start_at(address, &configuration);
    wait_for_attachments(&killed, &before);
    let _slow = slow_scrapers(address);
    std::thread::sleep(LIFE);
    killed.send(libc::SIGKILL);
    assert!(killed.ends_within(Duration::from_secs(10)), "SIGKILL has not ended it");
    KernelObjects::wait_for_none_since(&before, "SIGKILL");

    let mut terminated = Agent::start_at(address, &configuration);
    wait_for_attachments(&terminated, &before);
    let _slow = slow_scrapers(address);
    std::thread::sleep(LIFE);
    let begun = Instant::now();
    let has_ended = terminated.end_within(EXIT_TIMEOUT);
    println!(
        "SIGTERM with {CONTAINERS} containers, stalled scrapers and a hanging NVML: exit after {:?}",
        begun.elapsed()
    );
    assert!(has_ended, "it has not exited {EXIT_TIMEOUT:?} after SIGTERM");
    assert_eq!(terminated.exit_code(), Some(0));
    KernelObjects::wait_for_none_since(&before, "SIGTERM");
    drop(crowd);
}
