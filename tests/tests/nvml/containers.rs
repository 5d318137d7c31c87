//! The assignment of GPU processes to containers, including NVML's known errors.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use glassbox::snapshot::{Snapshot, gpu::ContainerGpu};
use glassbox_tests::{
    agent::Agent,
    cgroup::{self, Cgroup},
    docker::eventually,
    http,
    nvml::{StandIn, host},
    skip,
    worker::{Work, Worker},
};
use serde_json::{Value, json};

use super::host::Host;

/// A process in a cgroup with the path of a container.
pub(super) struct Contained {
    worker: Worker,
    pub(super) cgroup_path: String,
    _nested: Option<Cgroup>,
    _cgroup: Cgroup,
}

impl Contained {
    /// `None` after printing why the test is skipped.
    pub(super) fn start(nested: bool) -> Option<Self> {
        let test = std::thread::current();
        let test = test.name().unwrap_or_default();
        let Some(root) = cgroup::v2_root() else {
            skip(test, "no cgroup v2 hierarchy");
            return None;
        };
        let (cgroup, id) = match Cgroup::container(&root) {
            Ok(made) => made,
            Err(error) => {
                skip(test, &format!("make a cgroup: {error}"));
                return None;
            }
        };
        let inner = nested.then(|| Cgroup::new(&root, &format!("docker/{id}/init.scope")).unwrap());
        let worker = Worker::start(inner.as_ref().unwrap_or(&cgroup), Work::Sleep, None);
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", worker.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        let cgroup_path = line.strip_suffix("/init.scope").unwrap_or(line).to_owned();
        // Samples from before the start of a process are not its own.
        std::thread::sleep(Duration::from_millis(150));
        Some(Self { worker, cgroup_path, _nested: inner, _cgroup: cgroup })
    }

    pub(super) fn pid(&self) -> i32 {
        self.worker.pid
    }
}

fn with(processes: Value) -> Value {
    let mut scenario = host();
    scenario["devices"][0]["processes"] = processes;
    scenario["devices"][0]["values"]["nvmlDeviceGetTotalEnergyConsumption"] =
        json!({ "start": 0.0, "per_s": 300_000.0 });
    scenario
}

fn share<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a ContainerGpu> {
    let row = snapshot.containers.iter().find(|row| row.identity.container == name)?;
    row.gpus.first()
}

fn shows(snapshot: &Snapshot, name: &str, wanted: impl Fn(&ContainerGpu) -> bool) -> bool {
    share(snapshot, name).is_some_and(wanted)
}

#[test]
fn two_containers_on_one_gpu_have_separate_values() {
    let (Some(a), Some(b)) = (Contained::start(false), Contained::start(true)) else { return };
    let scenario = with(json!([
        { "pid": a.pid(), "memory": 6_u64 << 30, "utilization": { "sm": 60, "memory": 30, "encoder": 5 } },
        { "pid": b.pid(), "memory": 1_u64 << 30, "utilization": { "sm": 20, "memory": 10, "decoder": 8 } },
        // The process is in both lists and counts once.
        { "pid": b.pid(), "memory": 1_u64 << 30, "kind": "graphics" },
        // A process of the host.
        { "pid": std::process::id(), "memory": 1_u64 << 20, "utilization": { "sm": 20 } },
        // A process of another PID namespace, which has no number here.
        { "pid": 4_000_000_000_u32, "memory": 1_u64 << 20 },
    ]));
    let stand_in = StandIn::new(&scenario);
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    host.add("b", &b.cgroup_path);
    host.add("other", "/docker/none");
    let snapshot = host.until("both busy, for a while", |snapshot| {
        // Long enough that one more reading of one container makes little difference.
        shows(snapshot, "a", |gpu| gpu.busy > Duration::from_secs(4))
            && shows(snapshot, "b", |gpu| gpu.utilization_ratio == Some(0.2))
    });
    let (on_a, on_b) = (share(&snapshot, "a").unwrap(), share(&snapshot, "b").unwrap());
    assert_eq!((on_a.utilization_ratio, on_a.memory_used_bytes), (Some(0.6), Some(6 << 30)));
    assert_eq!((on_a.memory_utilization_ratio, on_a.encoder_ratio), (Some(0.3), Some(0.05)));
    assert_eq!((on_b.memory_used_bytes, on_b.decoder_ratio), (Some(1 << 30), Some(0.08)));
    assert_eq!((on_a.memory_used_ratio, on_b.processes), (Some(0.075), Some(1)));
    assert!(share(&snapshot, "other").is_none());
    // 60 %, 20 % and, for the host, 20 %.
    let (joules_a, joules_b) = (on_a.energy_joules.unwrap(), on_b.energy_joules.unwrap());
    assert!((joules_a / joules_b - 3.0).abs() < 0.2, "{joules_a} and {joules_b}");
    // 300 W, of which 60 % are its share: 180 J for each second at 60 %, that is 300 J per busy second.
    let per_busy_second = joules_a / on_a.busy.as_secs_f64();
    assert!((per_busy_second - 300.0).abs() < 60.0, "{per_busy_second}");
    let processes = &snapshot.host.gpus[0].processes;
    assert_eq!(processes, &[("container", 2), ("host", 1), ("unknown", 1)]);
}

/// End to end: cgroup tree, tracker, NVML, text.
#[test]
fn the_agent_exports_each_containers_gpu_memory_with_its_name() {
    let (Some(a), Some(b)) = (Contained::start(false), Contained::start(true)) else { return };
    let stand_in = StandIn::new(&with(json!([
        { "pid": a.pid(), "memory": 6_u64 << 30, "utilization": { "sm": 60 } },
        { "pid": b.pid(), "memory": 1_u64 << 30, "utilization": { "sm": 20 } },
    ])));
    let agent = Agent::start(&format!(
        "tick_ms = 200\n[docker]\nenabled = false\n[kernel]\nenabled = false\n[nvml]\nlibrary = {:?}\n",
        stand_in.library()
    ));
    // The display name is the beginning of the ID. If two IDs begin alike, the second container has the whole ID.
    let value = |text: &str, contained: &Contained, what: &str| {
        let id = contained.cgroup_path.rsplit('/').next().unwrap();
        let named = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(&format!("glassbox_container_gpu_{what}{{container=\""))?;
            let (name, rest) = rest.split_once("\",gpu=\"0\",uuid=\"GPU-aaaa\"} ")?;
            id.starts_with(name).then(|| (name.len(), rest.parse::<f64>().unwrap()))
        });
        named.max_by_key(|(length, _)| *length).map(|(_, value)| value)
    };
    let gib = f64::from(1_u32 << 30);
    let text = eventually("both containers on the GPU", Duration::from_secs(10), || {
        let text = agent.metrics();
        let all = [
            value(&text, &a, "memory_used_bytes") == Some(6.0 * gib),
            value(&text, &b, "memory_used_bytes") == Some(gib),
            value(&text, &a, "utilization_ratio") == Some(0.6),
            value(&text, &b, "utilization_ratio") == Some(0.2),
        ];
        all.into_iter().all(|seen| seen).then_some(text)
    });
    assert!(text.contains("\nDCGM_FI_DEV_FB_USED{"), "{text}");
    let inherited = http::get(agent.address, "/metrics/cadvisor").unwrap().body;
    assert!(!inherited.contains("DCGM_FI_") && !inherited.contains("glassbox_"), "{inherited}");
}

#[test]
fn a_busy_process_that_is_missing_in_one_sample_stays_busy() {
    let Some(a) = Contained::start(false) else { return };
    let busy = with(json!([{ "pid": a.pid(), "memory": 1, "utilization": { "sm": 80 } }]));
    let left_out = with(json!([{ "pid": a.pid(), "memory": 1 }]));
    let stand_in = StandIn::new(&busy);
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    host.until("busy", |snapshot| shows(snapshot, "a", |gpu| gpu.utilization_ratio == Some(0.8)));
    stand_in.set(&left_out);
    std::thread::sleep(Duration::from_secs(1));
    assert!(shows(&host.tick(), "a", |gpu| gpu.utilization_ratio == Some(0.8)));
    // Only for a while. Then it is idle, because the library returns no sample.
    host.until("idle", |snapshot| shows(snapshot, "a", |gpu| gpu.utilization_ratio == Some(0.0)));
}

#[test]
fn invalid_values_and_unknown_memory_are_absent() {
    let (Some(a), Some(b)) = (Contained::start(false), Contained::start(false)) else { return };
    let stand_in = StandIn::new(&with(json!([
        { "pid": a.pid(), "memory": 1_u64 << 30, "utilization": { "sm": 4_294_967_295_u32, "memory": 40 } },
        { "pid": b.pid(), "memory": null, "utilization": { "sm": 101, "decoder": 7 } },
    ])));
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    host.add("b", &b.cgroup_path);
    let snapshot = host.until("the valid values", |snapshot| {
        shows(snapshot, "a", |gpu| gpu.memory_utilization_ratio == Some(0.4))
            && shows(snapshot, "b", |gpu| gpu.decoder_ratio == Some(0.07))
    });
    let (on_a, on_b) = (share(&snapshot, "a").unwrap(), share(&snapshot, "b").unwrap());
    assert_eq!((on_a.utilization_ratio, on_a.memory_used_bytes), (Some(0.0), Some(1 << 30)));
    assert_eq!((on_b.memory_used_bytes, on_b.memory_used_ratio, on_b.processes), (None, None, Some(1)));
}

#[test]
fn samples_from_before_the_start_of_a_process_are_ignored() {
    let Some(a) = Contained::start(false) else { return };
    #[expect(clippy::disallowed_methods, reason = "not an age: this is how NVML writes a timestamp")]
    let minute_ago =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - Duration::from_secs(60);
    let at_us = u64::try_from(minute_ago.as_micros()).unwrap();
    let stale = |at_us: u64| {
        with(json!([
            { "pid": a.pid(), "memory": 5, "utilization": { "sm": 90, "at_us": at_us } },
        ]))
    };
    let stand_in = StandIn::new(&stale(at_us));
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    host.until("its memory", |snapshot| shows(snapshot, "a", |gpu| gpu.memory_used_bytes == Some(5)));
    stand_in.set(&stale(at_us + 1_000_000));
    for _ in 0..10 {
        assert!(shows(&host.tick(), "a", |gpu| gpu.utilization_ratio == Some(0.0)));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn counters_of_a_container_are_kept_when_its_gpu_is_lost() {
    let Some(a) = Contained::start(false) else { return };
    let mut scenario = with(json!([{ "pid": a.pid(), "memory": 7, "utilization": { "sm": 100 } }]));
    let stand_in = StandIn::new(&scenario);
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    let before =
        host.until("busy", |snapshot| shows(snapshot, "a", |gpu| gpu.busy > Duration::from_millis(500)));
    scenario["devices"][0]["lost"] = json!(true);
    stand_in.set(&scenario);
    let after = host.until("lost", |snapshot| shows(snapshot, "a", |gpu| gpu.memory_used_bytes.is_none()));
    let (before, after) = (share(&before, "a").unwrap(), share(&after, "a").unwrap());
    assert!(after.busy >= before.busy && after.energy_joules >= before.energy_joules);
    assert_eq!((after.utilization_ratio, after.processes), (None, None));
    assert!(Path::new("/proc").join(a.pid().to_string()).exists(), "it was never absent");
}
