//! GPUs that the kernel driver lists and NVML does not, and the retries of NVML for them.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use glassbox::{collectors::nvml::read_once, snapshot::gpu::KnownBy};
use glassbox_tests::{
    agent,
    nvml::{StandIn, gpu},
};
use serde_json::{Value, json};

use super::host::{Host, layout, living, options, samples};

const GPU_NOT_FOUND: u32 = 28;
const FAILED: &str = "glassbox_gpu_up{pci_bus_id=\"0000:01:00.0\"}";

/// Adds a GPU to the driver's list in procfs. The list does not show whether the GPU is initialized.
fn list(proc_root: &Path, address: &str) {
    let directory = proc_root.join("driver/nvidia/gpus").join(address);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("information"), "Model: \t\t NVIDIA A40\nGPU Excluded:\t No\n").unwrap();
}

fn no_gpus() -> Value {
    json!({ "driver_version": "550.163.01" })
}

fn not_found() -> Value {
    json!({ "driver_version": "550.163.01", "errors": { "nvmlInit_v2": GPU_NOT_FOUND } })
}

#[test]
fn a_gpu_that_only_the_driver_lists_is_down_until_nvml_reports_it() {
    let proc_root = tempfile::tempdir().unwrap();
    list(proc_root.path(), "0000:01:00.0");
    let stand_in = StandIn::new(&no_gpus());
    let mut host = Host::start_with(options(&stand_in), proc_root.path());
    let snapshot = host.until("a failed GPU", |snapshot| !snapshot.host.unreported_gpus.is_empty());
    assert_eq!(snapshot.host.unreported_gpus[0].known_by, KnownBy::Driver);
    let text = samples(&snapshot);
    assert_eq!((text.get(FAILED), text.get("glassbox_nvml_up")), (Some(&0.0), Some(&1.0)), "{text:#?}");

    // With driver 550 and no working GPU, NVML does not initialize.
    stand_in.set(&not_found());
    let snapshot = host.until("no NVML", |snapshot| snapshot.host.nvml.as_ref().is_some_and(|nvml| !nvml.up));
    let text = samples(&snapshot);
    assert_eq!(text.get(FAILED), Some(&0.0), "{text:#?}");
    let failures = "glassbox_nvml_call_failures_total{call=\"nvmlInit_v2\",code=\"gpu_not_found\"}";
    assert!(text.contains_key(failures), "{text:#?}");
    let reading = read_once(&options(&stand_in), proc_root.path(), &layout());
    assert_eq!(reading.unreported, ["0000:01:00.0"], "as glassbox check shows it");
    assert!(reading.finding.contains("no working GPU"), "{}", reading.finding);

    // The same address, with the eight digits that NVML writes.
    stand_in.set(&json!({ "driver_version": "550.163.01", "devices": [gpu("GPU-a", 0)] }));
    let snapshot = host.until("the GPU", |snapshot| living(snapshot, "GPU-a").is_some());
    let text = samples(&snapshot);
    assert_eq!((text.get(FAILED), snapshot.host.unreported_gpus.len()), (None, 0), "{text:#?}");
}

#[test]
fn glassbox_check_names_a_gpu_that_only_the_driver_lists() {
    let proc_root = tempfile::tempdir().unwrap();
    list(proc_root.path(), "0000:01:00.0");
    let stand_in = StandIn::new(&no_gpus());
    let file = proc_root.path().join("agent.toml");
    let configuration = format!(
        "[docker]\nenabled = false\n[kernel]\nenabled = false\n[paths]\nproc = {:?}\n[nvml]\nlibrary = {:?}\n",
        proc_root.path(),
        stand_in.library()
    );
    fs::write(&file, configuration).unwrap();
    let output = Command::new(agent::binary()).args(["check", "--config"]).arg(&file).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.lines().any(|line| line.contains("GPU 0000:01:00.0")), "{table}");
}

#[test]
fn without_a_library_the_drivers_gpus_are_not_exported() {
    let proc_root = tempfile::tempdir().unwrap();
    list(proc_root.path(), "0000:01:00.0");
    let stand_in = StandIn::new(&no_gpus());
    fs::remove_file(stand_in.library()).unwrap();
    assert!(read_once(&options(&stand_in), proc_root.path(), &layout()).unreported.is_empty());
}

/// Each initialization makes the driver try the GPU, for seconds and with a dozen lines in the kernel log.
#[test]
fn nvml_is_retried_with_backoff_until_a_device_or_the_module_changes() {
    for (what, scenario) in [("no GPUs", no_gpus()), ("a failed start", not_found())] {
        let (proc_root, sys_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        list(proc_root.path(), "0000:01:00.0");
        let stand_in = StandIn::new(&scenario);
        let mut options = options(&stand_in);
        options.retry = Duration::from_millis(100);
        options.retry_max = Duration::from_secs(3600);
        options.sys_root = sys_root.path().into();
        let host = Host::start_with(options, proc_root.path());
        std::thread::sleep(Duration::from_secs(4));
        // After 0, 0.1, 0.3, 0.7, 1.5 and 3.1 s. With a constant interval of 100 ms there would be 40.
        let tried = stand_in.initializations();
        assert!((3..=6).contains(&tried), "{what}: {tried} initializations in 4 s");

        let again = |what: &str, before: u64| {
            let begun = Instant::now();
            while stand_in.initializations() < before + 3 {
                assert!(begun.elapsed() < Duration::from_secs(2), "{what}: the backoff was not reset");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        list(proc_root.path(), "0000:02:00.0");
        again(what, tried);
        let tried = stand_in.initializations();
        fs::create_dir_all(sys_root.path().join("module/nvidia")).unwrap();
        again(what, tried);
        drop(host);
    }
}
