//! GPUs and libraries that appear, disappear and hang.

use std::time::{Duration, Instant};

use glassbox_tests::{
    agent::Agent,
    nvml::{StandIn, gpu, host},
};
use serde_json::json;

use super::host::{Host, living, samples};

const LOST: u32 = 15;

#[test]
fn a_gpu_that_is_lost_and_returns_keeps_its_counters() {
    let stand_in = StandIn::new(&json!({ "driver_version": "580.159.04" }));
    let mut host_ = Host::start(&stand_in);
    host_.until("a library without GPUs", |snapshot| snapshot.host.nvml.as_ref().is_some_and(|nvml| nvml.up));
    let both = || json!({ "driver_version": "580.159.04", "devices": [gpu("GPU-a", 0), gpu("GPU-b", 1)] });
    stand_in.set(&both());
    let snapshot = host_.until("both GPUs and a sample", |snapshot| {
        let counted = |uuid| living(snapshot, uuid).is_some_and(|gpu| gpu.utilization_max_ratio.is_some());
        counted("GPU-a") && counted("GPU-b")
    });
    let counted = count(living(&snapshot, "GPU-b").unwrap());

    let mut lost = both();
    lost["devices"][1]["lost"] = json!(true);
    stand_in.set(&lost);
    let snapshot = host_.until("the second one lost", |snapshot| living(snapshot, "GPU-b").is_none());
    let first = living(&snapshot, "GPU-a").expect("the first GPU is unaffected");
    assert_eq!(first.temperature_celsius, Some(58.0));
    let failures = &snapshot.host.nvml.as_ref().unwrap().failures;
    assert!(failures.iter().any(|(_, code, _)| *code == "gpu_is_lost"), "{failures:?}");
    let text = samples(&snapshot);
    let about_lost = text.keys().filter(|series| series.contains("GPU-b") && series.contains("ratio"));
    assert_eq!(about_lost.count(), 0, "its values are absent: {text:#?}");
    // Meanwhile the library is reloaded and does not find the GPU.
    std::thread::sleep(Duration::from_secs(1));
    let text = samples(&host_.tick());
    assert_eq!(text.get("glassbox_gpu_up{gpu=\"1\",uuid=\"GPU-b\"}"), Some(&0.0), "{text:#?}");

    stand_in.set(&both());
    let snapshot = host_.until("it is back", |snapshot| living(snapshot, "GPU-b").is_some());
    assert!(count(living(&snapshot, "GPU-b").unwrap()) >= counted, "the histogram continues");
}

fn count(gpu: &glassbox::snapshot::gpu::Gpu) -> u64 {
    gpu.utilization_samples.as_ref().map_or(0, |histogram| histogram.counts.iter().sum())
}

#[test]
fn a_reloaded_driver_is_found_again() {
    let stand_in = StandIn::new(&host());
    let mut host_ = Host::start(&stand_in);
    host_.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    let mut gone = host();
    // Every call fails, as after an update of the driver while the agent runs.
    let calls =
        ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetSamples"];
    gone["errors"] = calls.into_iter().map(|call| (call.to_owned(), json!(18))).collect();
    stand_in.set(&gone);
    let snapshot =
        host_.until("no library", |snapshot| snapshot.host.nvml.as_ref().is_some_and(|nvml| !nvml.up));
    let text = samples(&snapshot);
    assert_eq!(text.get("glassbox_gpu_up{gpu=\"0\",uuid=\"GPU-aaaa\"}"), Some(&0.0), "{text:#?}");
    stand_in.set(&host());
    host_.until("the GPU again", |snapshot| living(snapshot, "GPU-aaaa").is_some());
}

#[test]
fn a_hanging_library_delays_no_tick_and_its_values_are_absent() {
    let stand_in = StandIn::new(&host());
    let mut host_ = Host::start(&stand_in);
    host_.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    let mut hanging = host();
    hanging["hang_s"] = json!({ "nvmlDeviceGetPowerUsage": 10 });
    stand_in.set(&hanging);
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut absent_after = None;
    while begun.elapsed() < Duration::from_secs(6) {
        let tick = Instant::now();
        let snapshot = host_.tick();
        slowest = slowest.max(tick.elapsed());
        if living(&snapshot, "GPU-aaaa").is_none() {
            absent_after.get_or_insert(begun.elapsed());
            assert_eq!(snapshot.host.gpus.len(), 1, "the GPU is exported as down");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(slowest < Duration::from_millis(250), "a tick took {slowest:?}");
    let absent_after = absent_after.expect("stale values are dropped");
    assert!(absent_after < Duration::from_secs(5), "{absent_after:?}");
    stand_in.set(&host());
    host_.until("the GPU again", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    // The agent exits without waiting for the thread.
    hanging["hang_s"] = json!({ "nvmlDeviceGetTemperature": 10 });
    stand_in.set(&hanging);
    std::thread::sleep(Duration::from_millis(400));
    let ending = Instant::now();
    drop(host_);
    assert!(ending.elapsed() < Duration::from_secs(1), "{:?}", ending.elapsed());
    // The library must outlive the thread that is still in it.
    std::mem::forget(stand_in);
}

#[test]
fn the_agent_ticks_and_exits_while_a_call_hangs() {
    let mut scenario = host();
    scenario["hang_s"] = json!({ "nvmlDeviceGetUtilizationRates": 10 });
    let stand_in = StandIn::new(&scenario);
    let configuration = format!(
        "tick_ms = 200\n[docker]\nenabled = false\n[kernel]\nenabled = false\n[nvml]\nlibrary = {:?}\n",
        stand_in.library()
    );
    let agent = Agent::start(&configuration);
    let ticks = || {
        let text = agent.metrics();
        let line =
            text.lines().find_map(|line| line.strip_prefix("glassbox_ticks_total ")).unwrap().to_owned();
        (line.parse::<f64>().unwrap(), text)
    };
    let (before, _) = ticks();
    std::thread::sleep(Duration::from_secs(2));
    let (after, text) = ticks();
    assert!(after - before >= 7.0, "{before} to {after}");
    assert!(text.contains("\nglassbox_collector_up{collector=\"nvml\"} 1\n"), "{text}");
    assert!(text.contains("\nglassbox_nvml_up 0\n"), "{text}");
    let ending = Instant::now();
    drop(agent);
    assert!(ending.elapsed() < Duration::from_secs(5), "{:?}", ending.elapsed());
}

#[test]
fn an_xid_error_is_counted_once_and_exported_as_the_last() {
    let stand_in = StandIn::new(&host());
    let mut host_ = Host::start(&stand_in);
    host_.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    let mut failing = host();
    failing["devices"][0]["xids"] = json!([31, 31, 79]);
    stand_in.set(&failing);
    let snapshot = host_.until("three errors", |snapshot| {
        living(snapshot, "GPU-aaaa").is_some_and(|gpu| gpu.last_xid == Some(79))
    });
    let gpu = living(&snapshot, "GPU-aaaa").unwrap();
    assert_eq!(gpu.xids, [(31, 2), (79, 1)]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(living(&host_.tick(), "GPU-aaaa").unwrap().xids, [(31, 2), (79, 1)]);
    let text = samples(&host_.tick());
    let series = "glassbox_gpu_xid_errors_total{gpu=\"0\",uuid=\"GPU-aaaa\",xid=\"31\"}";
    assert_eq!(text.get(series), Some(&2.0));
}

#[test]
fn an_event_wait_that_fails_immediately_does_not_loop_without_pause() {
    let mut scenario = host();
    scenario["errors"] = json!({ "nvmlEventSetWait_v2": LOST });
    let stand_in = StandIn::new(&scenario);
    let mut host_ = Host::start(&stand_in);
    host_.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    std::thread::sleep(Duration::from_secs(1));
    let snapshot = host_.tick();
    let failures = snapshot.host.nvml.unwrap().failures;
    let waits = failures.iter().find(|(call, ..)| *call == "nvmlEventSetWait_v2").map_or(0, |found| found.2);
    assert!((1..100).contains(&waits), "{failures:?}");
}
