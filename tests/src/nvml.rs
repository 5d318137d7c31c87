//! The NVML stand-in: each test has its own copy of the library, with its own scenario.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::stand_in;

/// The package of the library.
pub const PACKAGE: &str = "glassbox-nvml-stand-in";

/// The library of a stand-in and its scenario. Both are removed when dropped.
pub struct StandIn {
    directory: tempfile::TempDir,
}

impl StandIn {
    /// Starts with this scenario.
    ///
    /// # Panics
    /// If it cannot be built or copied.
    #[must_use]
    pub fn new(scenario: &Value) -> Self {
        Self::of(stand_in::built_library(PACKAGE), scenario)
    }

    /// Like [`new`](Self::new), with a library that is already built.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn of(library: &Path, scenario: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
        let stand_in = Self { directory };
        stand_in.set(scenario);
        fs::copy(library, stand_in.library())
            .unwrap_or_else(|error| panic!("copy {}: {error}", library.display()));
        stand_in
    }

    /// The path of the library.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    /// How often it was initialized.
    #[must_use]
    pub fn initializations(&self) -> u64 {
        let file = self.directory.path().join("libnvidia-ml.so.1.json.initializations");
        fs::metadata(file).map_or(0, |metadata| metadata.len())
    }

    /// Replaces the scenario.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, scenario: &Value) {
        let file = self.directory.path().join("libnvidia-ml.so.1.json");
        // Replaced atomically, so that the library never reads half of it.
        let next = self.directory.path().join("next");
        fs::write(&next, scenario.to_string())
            .and_then(|()| fs::rename(&next, &file))
            .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
    }
}

/// A host with one idle GPU that supports everything.
#[must_use]
pub fn host() -> Value {
    json!({ "driver_version": "580.159.04", "devices": [gpu("GPU-aaaa", 0)] })
}

/// An idle GPU that supports everything.
#[must_use]
pub fn gpu(uuid: &str, minor: u32) -> Value {
    let gib = 1_u64 << 30;
    json!({
        "uuid": uuid, "name": "NVIDIA H100 PCIe", "pci_bus_id": format!("00000000:{:02X}:00.0", minor + 1),
        "minor": minor,
        "values": {
            "nvmlDeviceGetUtilizationRates:gpu": 61, "nvmlDeviceGetUtilizationRates:memory": 29,
            "nvmlDeviceGetEncoderUtilization": 7, "nvmlDeviceGetDecoderUtilization": 13,
            "nvmlDeviceGetMemoryInfo_v2:total": 80 * gib, "nvmlDeviceGetMemoryInfo_v2:used": 8 * gib,
            "nvmlDeviceGetMemoryInfo_v2:reserved": gib,
            "nvmlDeviceGetPowerUsage": 230_125, "nvmlDeviceGetEnforcedPowerLimit": 350_000,
            "nvmlDeviceGetTotalEnergyConsumption": 9_876_543_210_u64,
            "nvmlDeviceGetTemperature:0": 58, "nvmlDeviceGetPcieReplayCounter": 4,
            "nvmlDeviceGetClockInfo:0": 1740, "nvmlDeviceGetClockInfo:1": 1755,
            "nvmlDeviceGetClockInfo:2": 1593, "nvmlDeviceGetClockInfo:3": 1500,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 4, "nvmlDeviceGetMigMode": 1
        },
        "fields": {
            "3": 3, "4": 0, "38": 1, "45": 2, "52": 3, "59": 4,
            "74": 12_345_000_000_u64, "75": 0, "76": 0, "77": 0, "78": 0, "79": 0,
            "82": 64, "138": 2, "139": 4, "142": 1, "143": 2, "144": 0, "145": 0,
            "186": 349_900, "197": 1_000, "198": 2_000
        },
        "samples": { "1": { "every_ms": 20, "values": [40, 100, 60] } },
        "instances": [{ "uuid": "MIG-1", "memory_total": 10 * gib, "memory_used": gib }],
        "gpm": { "1": 61.0, "2": 50.0, "3": 25.0, "4": 1.0, "5": 12.5, "10": 25.0, "11": 0.0, "12": 30.0,
                 "13": 10.0, "20": 1.0, "21": 2.0 },
        "xids": [],
        "processes": []
    })
}
