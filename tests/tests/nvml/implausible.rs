//! Impossible values from NVML are absent and counted, and do not affect maxima, sums and energy per container.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use glassbox::snapshot::Snapshot;
use glassbox_tests::nvml::{StandIn, host};
use serde_json::{Value, json};

use super::{
    containers::Contained,
    host::{Host, living, samples},
};

const GIB: u64 = 1 << 30;
/// An energy near 2^64, as a broken driver reported it.
const ENERGY: u64 = u64::MAX - 2_047;

fn with(pid: i32, energy: u64, change: impl FnOnce(&mut Value)) -> Value {
    let mut scenario = host();
    let gpu = &mut scenario["devices"][0];
    gpu["processes"] = json!([{ "pid": pid, "memory": GIB, "utilization": { "sm": 50, "memory": 10 } }]);
    gpu["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(energy);
    change(gpu);
    scenario
}

fn own<'a>(text: &'a BTreeMap<String, f64>, name: &str) -> Vec<&'a f64> {
    text.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).collect()
}

/// Waits for the energy of container a after the library's energy was read.
fn until_energy(host: &mut Host, mj: u64) -> Snapshot {
    host.until("the energy", |snapshot| {
        living(snapshot, "GPU-aaaa").is_some_and(|gpu| gpu.energy_mj == Some(mj))
            && snapshot.containers[0].gpus.first().is_some_and(|gpu| gpu.utilization_ratio == Some(0.5))
    })
}

#[test]
fn one_round_of_impossible_values_has_no_lasting_effect() {
    let Some(a) = Contained::start(false) else { return };
    let stand_in = StandIn::new(&with(a.pid(), 1_000_000, |_| ()));
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    until_energy(&mut host, 1_000_000);
    stand_in.set(&with(a.pid(), 1_000_500, |_| ()));
    let before = until_energy(&mut host, 1_000_500);
    assert_eq!(before.containers[0].gpus[0].energy_joules, Some(0.5));

    stand_in.set(&with(a.pid(), ENERGY, |gpu| {
        gpu["processes"][0]["memory"] = json!(1_u64 << 62);
        for (value, garbage) in [
            ("nvmlDeviceGetTemperature:0", 644_245_923_u64),
            ("nvmlDeviceGetPowerUsage", 4_294_967_295),
            ("nvmlDeviceGetClockInfo:1", 4_294_967_295),
            ("nvmlDeviceGetMemoryInfo_v2:used", 200 * GIB),
            ("nvmlDeviceGetUtilizationRates:gpu", 808_334_905),
            ("nvmlDeviceGetPcieReplayCounter", 4_294_967_295),
        ] {
            gpu["values"][value] = json!(garbage);
        }
        // ECC, memory temperature, NVLink and PCIe bytes, remapped rows, instantaneous power.
        for (field, garbage) in [
            ("3", 4_294_967_295_u64),
            ("82", 4_278_190_080),
            ("138", u64::MAX),
            ("142", 4_294_967_295),
            ("186", 4_294_967_295),
            ("197", u64::MAX),
        ] {
            gpu["fields"][field] = json!(garbage);
        }
        gpu["samples"]["1"] = json!({ "every_ms": 20, "values": [4_294_967_295_u32] });
    }));
    let snapshot = host.until("the impossible values", |snapshot| {
        living(snapshot, "GPU-aaaa").is_some_and(|gpu| gpu.temperature_celsius.is_none())
    });
    // All values are of this scenario, not of a round that began before.
    std::thread::sleep(Duration::from_millis(300));
    drop(snapshot);
    let text = samples(&host.tick());
    for absent in [
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_MEMORY_TEMP",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_TOTAL_ENERGY",
        "DCGM_FI_DEV_ECC_SBE",
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "DCGM_FI_DEV_NVLINK_BANDWIDTH",
        "glassbox_gpu_pcie_replays_total",
        "glassbox_gpu_pcie_bytes_total{gpu=\"0\",uuid=\"GPU-aaaa\",direction=\"transmit\"",
        "glassbox_container_gpu_memory_used_bytes",
    ] {
        assert_eq!(own(&text, absent), [&0.0; 0], "{absent}: {text:#?}");
    }
    assert_eq!(own(&text, "DCGM_FI_DEV_FB_FREE").len(), 1, "a possible value is absent: {text:#?}");
    for value in [
        "temperature",
        "memory_temperature",
        "power",
        "clock",
        "memory_used",
        "utilization",
        "energy",
        "ecc_errors",
        "remapped_rows",
        "nvlink_bytes",
        "pcie_bytes",
        "pcie_replays",
        "process_memory",
    ] {
        let series = format!("glassbox_nvml_rejected_values_total{{value=\"{value}\"}}");
        assert!(text.get(&series).is_some_and(|count| *count > 0.0), "{series}: {text:#?}");
    }
    assert_eq!(own(&text, "glassbox_container_gpu_energy_joules_total"), [&0.5], "{text:#?}");

    stand_in.set(&with(a.pid(), 1_001_000, |_| ()));
    let text = samples(&until_energy(&mut host, 1_001_000));
    assert_eq!(own(&text, "glassbox_container_gpu_energy_joules_total"), [&1.0], "{text:#?}");
    assert_eq!(own(&text, "glassbox_gpu_power_max_watts"), [&349.9], "{text:#?}");
    assert_eq!(own(&text, "glassbox_gpu_memory_used_max_bytes"), [&(8.0 * GIB as f64)], "{text:#?}");
    assert_eq!(own(&text, "glassbox_gpu_utilization_max_ratio"), [&1.0], "{text:#?}");
}

/// Values that a broken driver may report. They are deterministic, so that a failure can be reproduced.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.0 >> 7;
        match random % 8 {
            0 => u64::MAX,
            1 => u64::from(u32::MAX),
            2 => 0,
            3 => random,
            4 => random >> 32,
            5 => 1 << (random >> 8 & 63),
            _ => random % 1_000,
        }
    }
}

fn garbled(garbage: &mut Garbage, pid: i32) -> Value {
    let mut scenario = with(pid, 0, |_| ());
    let gpu = &mut scenario["devices"][0];
    for part in ["values", "fields", "gpm"] {
        for value in gpu[part].as_object_mut().unwrap().values_mut() {
            *value = json!(garbage.next());
        }
    }
    gpu["values"]["nvmlDeviceGetMigMode"] = json!(1);
    gpu["minor"] = json!(garbage.next() as u32);
    let mut u32_ = || garbage.next() as u32;
    gpu["samples"]["1"]["values"] = json!([u32_(), u32_()]);
    gpu["processes"][0]["utilization"] =
        json!({ "sm": u32_(), "memory": u32_(), "encoder": u32_(), "decoder": u32_() });
    gpu["processes"][0]["memory"] = json!(garbage.next());
    gpu["instances"] = json!([
        { "uuid": "", "memory_total": garbage.next(), "memory_used": garbage.next() },
        { "uuid": "", "memory_total": garbage.next(), "memory_used": garbage.next() },
    ]);
    scenario
}

/// The largest possible value of a series.
fn most(series: &str, memory_total: f64) -> f64 {
    let has = |word: &str| series.contains(word);
    match () {
        () if has("glassbox_nvml_") => f64::INFINITY,
        () if has("_ratio") && !has("samples") => 1.0,
        () if has("celsius") || has("_TEMP") => 150.0,
        () if has("watts") || has("POWER_USAGE") => 10_000.0,
        () if has("hertz") => 5e10,
        () if has("_CLOCK") => 5e4,
        () if has("memory_total_bytes") => (1_u64 << 44) as f64,
        () if has("gpu_memory_") && has("_bytes") || has("mig_memory") => memory_total,
        () if has("remapped_rows") || has("REMAPPED_ROWS") => 65_536.0,
        () if has("ecc_errors") || has("_ECC_") => 1e9,
        () if has("_UTIL") => 100.0,
        () if has("pcie_replays") => 4e9,
        () => f64::INFINITY,
    }
}

#[test]
fn impossible_values_are_never_exported() {
    let Some(a) = Contained::start(false) else { return };
    let mut garbage = Garbage(20_251_125);
    let stand_in = StandIn::new(&with(a.pid(), 1_000_000, |_| ()));
    let mut host = Host::start(&stand_in);
    host.add("a", &a.cgroup_path);
    host.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    let begun = Instant::now();
    let mut first: BTreeMap<String, f64> = BTreeMap::new();
    let mut rejected = 0.0;
    for round in 0..40 {
        stand_in.set(&garbled(&mut garbage, a.pid()));
        std::thread::sleep(Duration::from_millis(110));
        let snapshot = host.tick();
        let text = samples(&snapshot);
        // Unknown in a round in which the total is impossible.
        let total =
            snapshot.host.gpus[0].memory_total_bytes.map_or((1_u64 << 44) as f64, |total| total as f64);
        let elapsed = begun.elapsed().as_secs_f64();
        for (series, value) in &text {
            // A maximum may be from another round with another total.
            let total = if series.contains("max") { (1_u64 << 44) as f64 } else { total };
            assert!(value.is_finite() && *value >= 0.0, "round {round}: {series} {value}");
            assert!(*value <= most(series, total), "round {round}: {series} {value} of {total}");
            // Counters that cannot grow faster than this. Each reading may be a second late, hence the number of rounds.
            let late = elapsed + 2.0 + f64::from(round + 1) * 2.0;
            let most = match () {
                () if series.contains("energy_joules_total") => 10_000.0 * late,
                () if series.contains("throttled_seconds_total") => late,
                () if series.contains("busy_seconds_total") => elapsed + 1.0,
                () if series.contains("pcie_bytes_total") => 2e12 * late,
                () => continue,
            };
            let begin = *first.entry(series.clone()).or_insert(*value);
            assert!(*value - begin <= most, "round {round}: {series} from {begin} to {value} in {elapsed} s");
        }
        rejected = own(&text, "glassbox_nvml_rejected_values_total").into_iter().sum();
    }
    assert!(rejected > 200.0, "only {rejected} values were rejected");
}
