//! Every function fails with every code: nothing panics, and the values of that function are absent.

use std::path::Path;

use glassbox::collectors::nvml::{Reading, read_once};
use glassbox_tests::nvml::{StandIn, host};
use serde_json::json;

use super::host::{layout, options};

/// Every return code of nvml.h, and some unknown ones.
fn codes() -> impl Iterator<Item = u32> {
    (1..=30).chain([999, 1000, u32::MAX])
}

const INSUFFICIENT_SIZE: u32 = 7;

/// A function, and whether a reading has the values that only this function provides.
type Shows = (&'static str, fn(&Reading) -> bool);

/// GPM needs two readings, and events have no value to show.
const CALLS: &[Shows] = &[
    ("nvmlInit_v2", |reading| reading.up),
    ("nvmlShutdown", |_| false),
    ("nvmlSystemGetDriverVersion", |reading| !reading.driver_version.is_empty()),
    ("nvmlDeviceGetCount_v2", |reading| !reading.gpus.is_empty()),
    ("nvmlDeviceGetHandleByIndex_v2", |reading| !reading.gpus.is_empty()),
    ("nvmlDeviceGetUUID", |reading| any(reading, |gpu| !gpu.uuid.is_empty())),
    ("nvmlDeviceGetName", |reading| any(reading, |gpu| !gpu.name.is_empty())),
    ("nvmlDeviceGetPciInfo_v3", |reading| any(reading, |gpu| !gpu.pci_bus_id.is_empty())),
    ("nvmlDeviceGetMinorNumber", |reading| any(reading, |gpu| gpu.minor.is_some())),
    ("nvmlDeviceGetUtilizationRates", |reading| any(reading, |gpu| gpu.utilization_ratio.is_some())),
    ("nvmlDeviceGetEncoderUtilization", |reading| any(reading, |gpu| gpu.encoder_ratio.is_some())),
    ("nvmlDeviceGetDecoderUtilization", |reading| any(reading, |gpu| gpu.decoder_ratio.is_some())),
    ("nvmlDeviceGetMemoryInfo_v2", |reading| any(reading, |gpu| gpu.memory_used_bytes.is_some())),
    ("nvmlDeviceGetPowerUsage", |reading| any(reading, |gpu| gpu.power_watts.is_some())),
    ("nvmlDeviceGetEnforcedPowerLimit", |reading| any(reading, |gpu| gpu.power_limit_watts.is_some())),
    ("nvmlDeviceGetTotalEnergyConsumption", |reading| any(reading, |gpu| gpu.energy_mj.is_some())),
    ("nvmlDeviceGetTemperature", |reading| any(reading, |gpu| gpu.temperature_celsius.is_some())),
    ("nvmlDeviceGetClockInfo", |reading| any(reading, |gpu| !gpu.clocks_hertz.is_empty())),
    ("nvmlDeviceGetCurrentClocksThrottleReasons", |reading| {
        any(reading, |gpu| !gpu.throttle_reasons.is_empty())
    }),
    ("nvmlDeviceGetPcieReplayCounter", |reading| any(reading, |gpu| gpu.pcie_replays.is_some())),
    ("nvmlDeviceGetSamples", |_| false),
    ("nvmlDeviceGetFieldValues", |reading| any(reading, |gpu| !gpu.ecc_errors.is_empty())),
    ("nvmlDeviceGetComputeRunningProcesses_v3", |reading| any(reading, |gpu| !gpu.processes.is_empty())),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", |_| false),
    ("nvmlDeviceGetMPSComputeRunningProcesses_v3", |_| false),
    ("nvmlDeviceGetProcessUtilization", |_| false),
    ("nvmlDeviceGetMigMode", |reading| any(reading, |gpu| gpu.mig_enabled.is_some())),
    ("nvmlDeviceGetMaxMigDeviceCount", |reading| any(reading, |gpu| !gpu.mig_instances.is_empty())),
    ("nvmlDeviceGetMigDeviceHandleByIndex", |reading| any(reading, |gpu| !gpu.mig_instances.is_empty())),
    ("nvmlGpmQueryDeviceSupport", |_| false),
    ("nvmlGpmSampleAlloc", |_| false),
    ("nvmlGpmSampleGet", |_| false),
    ("nvmlGpmSampleFree", |_| false),
    ("nvmlGpmMetricsGet", |_| false),
    ("nvmlEventSetCreate", |reading| any(reading, |gpu| gpu.xid_watched)),
    ("nvmlDeviceRegisterEvents", |reading| any(reading, |gpu| gpu.xid_watched)),
    ("nvmlEventSetFree", |_| false),
];

/// The number of them that do not affect a first reading.
const SILENT: usize = 11;

fn any(reading: &Reading, shows: fn(&glassbox::snapshot::gpu::Gpu) -> bool) -> bool {
    reading.gpus.iter().any(shows)
}

#[test]
fn any_call_can_fail_with_any_code() {
    let stand_in = StandIn::new(&host());
    let options = options(&stand_in);
    let read = || read_once(&options, Path::new("/proc"), &layout());
    let whole = read();
    let shown = CALLS.iter().filter(|(_, shows)| shows(&whole)).count();
    assert_eq!(shown, CALLS.len() - SILENT, "without a failure everything is there: {whole:#?}");
    let mut counted = 0;
    for (call, shows) in CALLS {
        for code in codes() {
            let mut scenario = host();
            scenario["errors"] = json!({ *call: code });
            stand_in.set(&scenario);
            let reading = read();
            // This code reports the length of a list, which is 0 here.
            let is_answer = code == INSUFFICIENT_SIZE && call.ends_with("RunningProcesses_v3");
            assert!(is_answer || !shows(&reading), "{call} fails with {code}: {reading:#?}");
            counted += usize::from(reading.failures.iter().any(|(failed, ..)| failed == call));
        }
    }
    // Some are not called in the first reading, some free or end something, and for some "not found" is an answer.
    let all = CALLS.len() * codes().count();
    assert!(counted > all * 3 / 4, "{counted} of {all} failures were counted");
}

#[test]
fn any_function_can_be_missing_in_the_library() {
    let stand_in = StandIn::new(&host());
    let options = options(&stand_in);
    for (call, shows) in CALLS {
        let mut scenario = host();
        scenario["missing"] = json!([call]);
        stand_in.set(&scenario);
        let reading = read_once(&options, Path::new("/proc"), &layout());
        assert!(!shows(&reading), "{call} is missing: {reading:#?}");
    }
}

#[test]
fn a_file_that_is_not_nvml_is_reported() {
    let stand_in = StandIn::new(&host());
    std::fs::write(stand_in.library(), "not a library").unwrap();
    let reading = read_once(&options(&stand_in), Path::new("/proc"), &layout());
    assert!(!reading.up && reading.gpus.is_empty(), "{reading:#?}");
    assert!(reading.finding.contains("libnvidia-ml.so.1"), "{}", reading.finding);
    // A library that is not NVIDIA's is detected before any of its functions is called.
    let other = std::fs::read_dir("/lib/x86_64-linux-gnu").into_iter().flatten().flatten();
    let other = other.map(|entry| entry.path()).find(|path| path.ends_with("libm.so.6"));
    if let Some(other) = other {
        let mut options = options(&stand_in);
        options.library = other.into();
        let reading = read_once(&options, Path::new("/proc"), &layout());
        assert!(reading.finding.contains("not a usable NVML"), "{}", reading.finding);
    }
}
