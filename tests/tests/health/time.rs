//! Each cause of time is provoked, and dominates.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    nvidia::{
        application::FakeCuda,
        driver::{FakeDriver, Options},
    },
    nvml::{StandIn, host},
    worker::{Work, Worker},
};
use serde_json::json;

use super::container::{Server, agent, can_run, start_agent};

/// The wait until a request is in the published snapshot.
const SETTLE: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(3);

/// Shares of the wall time in a window, which begins and ends while the request is in flight.
fn check(agent: &glassbox_tests::agent::Agent, cases: &[(&str, &Server)]) {
    thread::sleep(SETTLE);
    let before: Vec<_> = cases.iter().map(|(_, server)| (server.seconds(agent), Instant::now())).collect();
    thread::sleep(WINDOW);
    for ((activity, server), (before, begun)) in cases.iter().zip(before) {
        let after = server.seconds(agent);
        let elapsed = begun.elapsed().as_secs_f64();
        let spent = |activity: &str| after[activity] - before[activity];
        let sum: f64 = after.keys().map(|activity| spent(activity)).sum();
        let shares: Vec<_> = after.keys().map(|name| format!("{name} {:.2}", spent(name) / sum)).collect();
        println!("{activity}: {sum:.3} s of {elapsed:.3} s: {}", shares.join(", "));
        // Each of the two readings is up to one tick (1 s) old.
        assert!((sum - elapsed).abs() < 1.1, "{activity}: {sum} s of {elapsed} s");
        assert!(spent(activity) / sum > 0.6, "{activity}: {}", shares.join(", "));
    }
}

#[test]
fn each_cause_of_time_dominates_when_it_is_provoked() {
    let Some(agent) = agent("each_cause_of_time_dominates_when_it_is_provoked") else { return };
    let disk = Server::start(&agent, None);
    let socket = Server::start(&agent, None);
    let idle = Server::start(&agent, None);
    let requests = [disk.request("/disk"), socket.request("/upstream"), idle.request("/lock")];
    check(&agent, &[("disk", &disk), ("socket", &socket), ("idle", &idle)]);
    disk.end_of_pipe();
    socket.close_upstream();
    idle.request("/release").join().unwrap();
    requests.into_iter().for_each(|request| request.join().unwrap());
    // The sum is the wall time of the request, as the client measures it.
    thread::sleep(SETTLE);
    let before: f64 = idle.seconds(&agent).values().sum();
    let begun = Instant::now();
    let request = idle.request("/burn");
    request.join().unwrap();
    let took = begun.elapsed().as_secs_f64();
    thread::sleep(SETTLE);
    let counted = idle.seconds(&agent).values().sum::<f64>() - before;
    assert!((counted - took).abs() < 0.01 * took, "{counted} s for a request of {took} s");
}

#[test]
fn each_cause_on_a_cpu_dominates_when_it_is_provoked() {
    let Some(agent) = agent("each_cause_on_a_cpu_dominates_when_it_is_provoked") else { return };
    // SAFETY: no pointers.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    if cpus < 2 {
        return glassbox_tests::inapplicable(
            "each_cause_on_a_cpu_dominates_when_it_is_provoked",
            "needs two CPUs",
        );
    }
    let running = Server::start(&agent, Some(0));
    running.prefer();
    let waiting = Server::start(&agent, Some(1));
    waiting.leave_shares();
    let hogs = Cgroup::container(&v2_root().unwrap()).unwrap().0;
    // No more than needed: the agent shares that CPU.
    let hogs: Vec<_> = (0..3).map(|_| Worker::start(&hogs, Work::Spin, Some(1))).collect();
    hogs.iter().for_each(Worker::go);
    let requests = [running.request("/burn"), waiting.request("/burn")];
    check(&agent, &[("on_cpu", &running), ("waiting_for_cpu", &waiting)]);
    drop(hogs);
    requests.into_iter().for_each(|request| request.join().unwrap());
    let throttled = Server::start(&agent, None);
    let quota = throttled.limit("cpu", "cpu.cfs_quota_us", "5000");
    if !quota {
        return glassbox_tests::inapplicable("throttled", "needs the CPU controller in the v1 hierarchy");
    }
    let request = throttled.request("/burn");
    check(&agent, &[("throttled", &throttled)]);
    request.join().unwrap();
}

#[test]
fn each_cause_on_a_gpu_dominates_when_it_is_provoked() {
    let test = "each_cause_on_a_gpu_dominates_when_it_is_provoked";
    if !can_run(test) {
        return;
    }
    let hang = Some("uvm:42".parse().unwrap());
    let driver = FakeDriver::start(Options { hang, ..Options::default() }).unwrap();
    let mut scenario = host();
    let nvml = StandIn::new(&scenario);
    let agent = start_agent(&format!("nvml.library = {:?}\n{}", nvml.library(), driver.configuration()));
    let (busy, hanging) = (Server::start(&agent, None), Server::start(&agent, None));
    let mut cuda =
        FakeCuda::start(Path::new(env!("CARGO_BIN_EXE_fake-cuda")), &driver, "wait context migrate");
    cuda.waiting();
    hanging.enter(cuda.pid());
    cuda.go();
    let utilization = json!({ "sm": 90, "memory": 30 });
    let process = json!({ "pid": busy.pid(), "memory": 1 << 30, "utilization": utilization });
    scenario["devices"][0]["values"]["nvmlDeviceGetMigMode"] = json!(0);
    scenario["devices"][0]["instances"] = json!([]);
    scenario["devices"][0]["processes"] = json!([process]);
    nvml.set(&scenario);
    // Without the GPU and the driver, the time of both would be idle.
    let requests = [busy.request("/lock"), hanging.request("/lock")];
    check(&agent, &[("gpu", &busy), ("nvidia_driver", &hanging)]);
    for server in [busy, hanging] {
        server.request("/release").join().unwrap();
    }
    requests.into_iter().for_each(|request| request.join().unwrap());
    cuda.kill();
}
