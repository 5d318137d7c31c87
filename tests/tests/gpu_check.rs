//! `cargo xtask gpu-check` with stand-ins for the CUDA driver's library, the NVIDIA driver and NVML. Checks its measurements
//! before it runs on a real GPU.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use glassbox_tests::{
    gpu_check::{self, Options},
    nvidia::driver::{self, FakeDriver},
    nvml::{self, StandIn},
    stand_in,
};
use serde_json::Value;

fn step<'a>(figures: &'a Value, name: &str) -> &'a Value {
    let steps = figures["watched"]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap()
}

fn calls(step: &Value) -> f64 {
    let by_command = step["seen"]["glassbox_container_nvidia_ioctls_total"].as_object().unwrap();
    by_command.values().filter_map(Value::as_f64).sum()
}

#[test]
fn the_check_reports_the_requests_of_each_cuda_call() {
    let options = driver::Options { memory_mib: 2048, ..driver::Options::default() };
    let driver = FakeDriver::start(options).unwrap_or_else(|error| panic!("{error:#}"));
    let stand_in = StandIn::new(&nvml::host());
    let cuda = stand_in::built_library("glassbox-cuda-stand-in");
    let work = tempfile::tempdir().unwrap();
    // The stand-in for CUDA finds the driver by an environment variable. A script sets it for this child process only.
    let script: PathBuf = work.path().join("cuda-work");
    let program = Path::new(env!("CARGO_BIN_EXE_cuda-work")).display();
    let named = format!("{} {}", driver.directory().display(), driver.release());
    std::fs::write(&script, format!("#!/bin/sh\nGLASSBOX_FAKE_NVIDIA='{named}' exec {program} \"$@\"\n"))
        .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = Options {
        configuration: format!(
            "docker.enabled = false\nnvml.library = {:?}\n{}",
            stand_in.library(),
            driver.configuration()
        ),
        shared: false,
        cuda_work: script,
        library: cuda.to_owned(),
        steady: Duration::from_secs(1),
        rounds: 2,
        slice: Duration::from_millis(100),
    };
    let figures = gpu_check::run(&options).unwrap_or_else(|error| panic!("{error:#}"));

    assert!(figures["check"].as_str().unwrap().contains("probe nvidia_driver"), "{}", figures["check"]);
    assert_eq!(calls(step(&figures, "a context")), 711.0);
    let small = step(&figures, "10 x cuMemAlloc of 64 MiB");
    assert_eq!(small["seen"]["glassbox_container_gpu_memory_allocations_total"][""], 10.0);
    let until_refused = step(&figures, "cuMemAlloc of 256 MiB until refused");
    assert_eq!(until_refused["answer"]["refusal"], 2);
    let refusals = until_refused["seen"]["glassbox_container_nvidia_rm_errors_total"].as_object().unwrap();
    assert_eq!(refusals.keys().collect::<Vec<_>>(), ["rm_vid_heap_control no_memory"]);
    let granted = until_refused["answer"]["granted"].as_f64().unwrap();
    assert_eq!(
        until_refused["seen"]["glassbox_container_gpu_memory_allocated_bytes_total"][""],
        granted * f64::from(256 << 20)
    );
    let kernels = step(&figures, "kernels, waiting by spinning");
    assert!(kernels["answer"]["runs"].as_f64().unwrap() > 0.0);
    assert!(kernels["seen"].as_object().unwrap().is_empty(), "launching a kernel makes no ioctl: {kernels}");
    assert!(figures["watched"]["cold_start_seconds"]["context_ready"].as_f64().unwrap() > 0.0);
    assert_eq!(figures["watched"]["nvml"]["gpus"][0]["name"], "NVIDIA H100 PCIe");
    assert!(figures["watched"]["nvml"]["samples_per_second"].as_f64().unwrap() > 10.0);
    let rounds = figures["overhead"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["on"]["allocations_per_second"].as_f64().unwrap() > 0.0));
}
