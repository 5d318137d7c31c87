//! An agent under load is killed, started, terminated and started again. Nothing is left in the kernel, and rates in Prometheus
//! stay those of the container.

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
    prometheus::{Programs, Prometheus},
    service::free_address,
    skip,
    worker::{Work, Worker},
};
use serde_json::json;

/// Containers, each with programs on its cgroup.
const CONTAINERS: usize = 400;
/// The longest time from SIGTERM to the exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time in which Prometheus scrapes each agent.
const LIFE: Duration = Duration::from_secs(4);

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
fn a_killed_or_terminated_agent_under_load_leaves_nothing_and_rates_show_no_spike() {
    let test = "a_killed_or_terminated_agent_under_load_leaves_nothing_and_rates_show_no_spike";
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let Some(root) = v2_root().filter(|_| is_root) else {
        return skip(test, "needs root and a v2 hierarchy");
    };
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(reason) => return skip(test, &reason),
    };
    let mut scenario = host();
    scenario["hang_s"] = json!({ "nvmlDeviceGetPowerUsage": 600 });
    let nvml = StandIn::new(&scenario);
    let configuration = format!(
        "tick_ms = 500\n[docker]\nenabled = false\n[containers]\nmax = 1024\n[nvml]\nlibrary = {:?}\n",
        nvml.library()
    );
    let before = KernelObjects::now();
    // The container is older than the agents, so a counter that is not continued would show all its time at once.
    let (cgroup, id) = Cgroup::container(&root).unwrap();
    let worker = Worker::start(&cgroup, Work::SpinAndSleep, None);
    worker.go();
    let crowd = Crowd::new(&root);
    let address = free_address();
    let prometheus = Prometheus::start(&programs, address);

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

    let _last = Agent::start_at(address, &configuration);
    let name = &id[..12];
    prometheus.wait_for(
        &format!("count_over_time(container_cpu_usage_seconds_total{{container=\"{name}\"}}[6s]) >= 4"),
        Duration::from_secs(15),
        |samples| !samples.is_empty(),
    );
    // (family, resets). The worker is one thread that runs half of the time.
    for (family, resets) in [
        ("container_cpu_usage_seconds_total", 0.0),
        ("container_cpu_user_seconds_total", 0.0),
        ("glassbox_container_oncpu_seconds_total", 2.0),
        ("glassbox_container_runqueue_latency_seconds_count", 2.0),
        ("glassbox_ticks_total", 2.0),
    ] {
        let of_container = if family.starts_with("glassbox_ticks") {
            String::new()
        } else {
            format!("{{container=\"{name}\"}}")
        };
        let series = format!("{family}{of_container}");
        let single = |promql: &str| match &*prometheus.query(promql).unwrap() {
            [sample] => sample.value,
            other => panic!("{promql}: {other:?}"),
        };
        assert_eq!(single(&format!("resets({series}[5m])")), resets, "{series}");
        let most = single(&format!("max_over_time(rate({series}[5s])[5m:1s])"));
        let least = single(&format!("min_over_time(rate({series}[5s])[5m:1s])"));
        println!("{series}: rate from {least} to {most}");
        assert!(least >= 0.0 && most > 0.0, "{series}: {least} to {most}");
        if family.ends_with("seconds_total") {
            assert!(most < 0.8, "{series} shows a spike: {most}");
        } else if family == "glassbox_ticks_total" {
            assert!(most < 3.0, "{series} shows a spike: {most}");
        }
    }
    drop(crowd);
}
