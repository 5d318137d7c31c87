//! NVML's values for the demonstration's GPUs, derived from the memory that the containers hold.

use serde_json::{Value, json};

use super::{MEMORY_MIB, containers::Replica};
use crate::{
    nvidia::driver::{FakeDriver, GPUS},
    nvml,
};

/// Memory of a CUDA context alone, in bytes.
const CONTEXT_BYTES: u64 = 420 << 20;

/// The current scenario of the NVML stand-in.
pub(super) fn scenario(driver: &FakeDriver, replicas: &[Replica]) -> Value {
    let devices: Vec<_> = (0..GPUS).map(|index| gpu(index, driver, replicas)).collect();
    json!({ "driver_version": driver.release().to_string(), "devices": devices })
}

fn gpu(index: usize, driver: &FakeDriver, replicas: &[Replica]) -> Value {
    let on_it: Vec<_> = replicas.iter().filter(|replica| replica.role().gpu == index).collect();
    let held_bytes = driver.used_bytes(index);
    let holders = on_it.iter().filter(|replica| !replica.role().hangs).count() as u64;
    let used_bytes = held_bytes + on_it.len() as u64 * CONTEXT_BYTES;
    let processes: Vec<_> = on_it
        .iter()
        .map(|replica| {
            // Only the two equal containers share a GPU, and each holds half of its memory.
            let held_bytes = if replica.role().hangs { 0 } else { held_bytes / holders.max(1) };
            let utilization =
                json!({ "sm": replica.role().utilization, "memory": replica.role().utilization / 3 });
            json!({ "pid": replica.pid(), "memory": held_bytes + CONTEXT_BYTES, "utilization": utilization })
        })
        .collect();
    let busy: u32 = on_it.iter().map(|replica| replica.role().utilization).sum();
    let busy = f64::from(busy.min(98));
    let wave = |mean: f64, amplitude: f64, period_s: u32| json!({ "mean": mean, "amplitude": amplitude, "period_s": period_s });

    let mut gpu = nvml::gpu(&format!("GPU-demo-{index}"), index as u32);
    gpu["name"] = "DEMO GPU (no such hardware)".into();
    gpu["instances"] = json!([]);
    gpu["processes"] = processes.into();
    let values = &mut gpu["values"];
    values["nvmlDeviceGetMigMode"] = 0.into();
    values["nvmlDeviceGetMemoryInfo_v2:total"] = (MEMORY_MIB << 20).into();
    values["nvmlDeviceGetMemoryInfo_v2:used"] = used_bytes.into();
    values["nvmlDeviceGetMemoryInfo_v2:reserved"] = (300_u64 << 20).into();
    values["nvmlDeviceGetUtilizationRates:gpu"] = wave(busy, busy.min(2.0), 7);
    values["nvmlDeviceGetUtilizationRates:memory"] = wave(busy / 3.0, busy.min(2.0), 11);
    values["nvmlDeviceGetPowerUsage"] = wave(60_000.0 + 2_500.0 * busy, 8_000.0, 13);
    values["nvmlDeviceGetTemperature:0"] = wave(38.0 + busy / 3.0, 2.0, 60);
    // In mJ. The start is the same for every process of the demonstration.
    values["nvmlDeviceGetTotalEnergyConsumption"] = json!({ "start": 0, "per_s": 60_000.0 + 2_500.0 * busy });
    values["nvmlDeviceGetClockInfo:0"] = if busy == 0.0 { 345 } else { 1740 }.into();
    values["nvmlDeviceGetClockInfo:1"] = if busy == 0.0 { 345 } else { 1755 }.into();
    for idle in ["nvmlDeviceGetEncoderUtilization", "nvmlDeviceGetDecoderUtilization"] {
        values[idle] = if busy == 0.0 { 0 } else { 7 }.into();
    }
    values["nvmlDeviceGetCurrentClocksThrottleReasons"] = u32::from(busy == 0.0).into();
    let samples: Vec<_> =
        [0.0, -6.0, 2.0, -1.0, 1.0, -3.0].map(|by: f64| (busy + by).clamp(0.0, 100.0) as u32).into();
    gpu["samples"] =
        json!({ "1": { "every_ms": 20, "values": if busy == 0.0 { vec![0] } else { samples } } });
    // The stand-in's values are those of a busy GPU, so they are scaled.
    let share = busy / 100.0;
    for metric in gpu["gpm"].as_object_mut().into_iter().flatten().map(|(_, value)| value) {
        *metric = (metric.as_f64().unwrap_or_default() * share).into();
    }
    gpu["gpm"]["1"] = busy.into();
    // Instantaneous power, in mW.
    gpu["fields"]["186"] = wave(60_000.0 + 2_500.0 * busy, 12_000.0, 13);
    gpu
}
