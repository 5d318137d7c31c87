//! GPU states that need NVML: a container that leaves its GPU unused, and one that spins. Each takes half a minute.

use std::time::{Duration, Instant};

use glassbox_tests::{
    agent::Agent,
    cpu_inference::{CpuInference, MARKER, MODEL_BYTES},
    docker::eventually,
    nvml::{StandIn, gpu},
    process_container::ProcessContainer,
    skip,
    worker::Work,
};
use serde_json::{Value, json};

/// Time until a state must have been reached; both take about 35 s.
const LIMIT: Duration = Duration::from_secs(100);

/// A host with one GPU without MIG.
fn host(change: impl FnOnce(&mut Value)) -> Value {
    let mut gpu = gpu("GPU-aaaa", 0);
    gpu["values"]["nvmlDeviceGetMigMode"] = json!(0);
    gpu["instances"] = json!([]);
    change(&mut gpu);
    json!({ "driver_version": "580.159.04", "devices": [gpu] })
}

/// An agent that traces the NVIDIA driver; `None` after printing why the test is skipped.
fn agent(test: &str, stand_in: &StandIn) -> Option<Agent> {
    let configuration = format!(
        "[docker]\nenabled = false\n[podman]\nsockets = []\n[containerd]\nsockets = []\n[cri]\nsockets = []\n\
         [nvml]\nlibrary = {:?}\n",
        stand_in.library()
    );
    let agent =
        Agent::with_collector("nvidia_driver", &configuration).map_err(|reason| skip(test, &reason)).ok()?;
    let up = "glassbox_collector_up{collector=\"inference\"} 1";
    assert!(agent.metrics().lines().any(|line| line == up), "{}", agent.log());
    Some(agent)
}

/// A value of a container; `labels` follow the name of the container.
fn value(text: &str, metric: &str, container: &ProcessContainer, labels: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(metric)?.strip_prefix("{container=\"")?;
        let (name, rest) = rest.split_once('"')?;
        let value = rest.strip_prefix(labels)?.strip_prefix("} ")?;
        container.id.starts_with(name).then(|| value.parse().unwrap())
    })
}

fn is_in(text: &str, container: &ProcessContainer, state: &str) -> bool {
    value(text, "glassbox_container_gpu_state", container, &format!(",state=\"{state}\"")) == Some(1.0)
}

#[test]
fn a_container_that_runs_its_model_on_the_cpu_despite_its_gpu_is_recognized() {
    let test = "a_container_that_runs_its_model_on_the_cpu_despite_its_gpu_is_recognized";
    let created = CpuInference::new(true).and_then(|given| Ok((given, CpuInference::new(false)?)));
    let Ok((given, without)) = created.map_err(|reason| skip(test, &reason)) else { return };
    let stand_in = StandIn::new(&host(|_| ()));
    let Some(agent) = agent(test, &stand_in) else { return };
    let workers = [&given, &without].map(CpuInference::run);
    let begun = Instant::now();
    let (given, without) = (&given.container, &without.container);
    let text = eventually("the state on_cpu_despite_gpu", LIMIT, || {
        Some(agent.metrics()).filter(|text| is_in(text, given, "on_cpu_despite_gpu"))
    });
    assert!(is_in(&text, without, "no_gpu"), "it was given no GPU: {text}");
    let of = |metric: &str, labels: &str| value(&text, metric, given, labels);
    assert_eq!(of("glassbox_container_gpus_given", ""), Some(1.0));
    assert_eq!(of("glassbox_container_inference_library_info", ",library=\"onnxruntime\""), Some(1.0));
    assert_eq!(of("glassbox_container_model_load_bytes", ""), Some(MODEL_BYTES as f64));
    // The model is read in 3.2 s, or more slowly if the container has to wait for its CPU time; the agent may miss the begin.
    let seconds = 1.5..=begun.elapsed().as_secs_f64() - 5.0;
    let load = of("glassbox_container_model_load_seconds", "").unwrap();
    assert!(seconds.contains(&load), "{load} s, not {seconds:?}");
    assert_eq!(value(&text, "glassbox_container_gpus_given", without, ""), None);
    // Its model is found because its memory grows.
    let bytes = value(&text, "glassbox_container_model_load_bytes", without, "");
    assert_eq!(bytes, Some(MODEL_BYTES as f64));
    let load = value(&text, "glassbox_container_model_load_seconds", without, "").unwrap();
    assert!((0.5..=*seconds.end()).contains(&load), "{load} s, not {seconds:?}, or one or two ticks less");
    assert!(!text.contains(MARKER) && !agent.log().contains(MARKER), "the name of a file");
    // It ends: nothing of it remains.
    drop(workers);
    eventually("no GPU is unused", LIMIT, || {
        Some(agent.metrics()).filter(|text| !is_in(text, given, "on_cpu_despite_gpu"))
    });
}

#[test]
fn a_container_whose_gpu_looks_busy_and_draws_little_power_is_spinning() {
    let test = "a_container_whose_gpu_looks_busy_and_draws_little_power_is_spinning";
    let Ok(container) = ProcessContainer::new().map_err(|reason| skip(test, &reason)) else { return };
    let worker = container.worker(Work::Sleep);
    worker.go();
    let scenario = |milliwatts: u32| {
        host(|gpu| {
            gpu["values"]["nvmlDeviceGetUtilizationRates:gpu"] = json!(100);
            gpu["values"]["nvmlDeviceGetUtilizationRates:memory"] = json!(0);
            gpu["values"]["nvmlDeviceGetPowerUsage"] = json!(milliwatts);
            gpu["fields"]["186"] = json!(milliwatts);
            gpu["processes"] =
                json!([{ "pid": worker.pid, "memory": 8_u64 << 30, "utilization": { "sm": 100 } }]);
        })
    };
    let stand_in = StandIn::new(&scenario(70_000));
    let Some(agent) = agent(test, &stand_in) else { return };
    let until = |state: &str| {
        eventually(state, LIMIT, || Some(agent.metrics()).filter(|text| is_in(text, &container, state)))
    };
    until("busy");
    until("spinning");
    stand_in.set(&scenario(300_000));
    until("busy");
}
