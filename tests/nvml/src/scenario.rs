//! The content of the scenario file.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

/// A host.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The driver's version.
    pub driver_version: String,
    /// The GPUs, by index.
    pub devices: Vec<Device>,
    /// Codes that calls fail with, by function.
    pub errors: BTreeMap<String, u32>,
    /// Delays at the beginning of calls, in seconds, by function.
    pub hang_s: BTreeMap<String, f64>,
    /// Functions that this version of the library does not have.
    pub missing: Vec<String>,
}

/// A GPU.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Its UUID.
    pub uuid: String,
    /// Its model.
    pub name: String,
    /// Domain, bus, device and function.
    pub pci_bus_id: String,
    /// N of `/dev/nvidiaN`.
    pub minor: u32,
    /// Whether it has fallen off the bus: every call about it fails.
    pub lost: bool,
    /// Return values of functions in NVML's units, by function, or by `function:selector`. A function without a value is not
    /// supported.
    pub values: BTreeMap<String, Value>,
    /// Codes that calls about this GPU fail with, by function.
    pub errors: BTreeMap<String, u32>,
    /// Field values, by field.
    pub fields: BTreeMap<u32, Value>,
    /// The driver's buffers of samples, by sampling type.
    pub samples: BTreeMap<u32, Samples>,
    /// The processes on it.
    pub processes: Vec<Process>,
    /// Its MIG instances; empty without MIG.
    pub instances: Vec<Instance>,
    /// GPM metrics, by metric; empty without GPM.
    pub gpm: BTreeMap<u32, Value>,
    /// All Xid errors so far. Each is reported once.
    pub xids: Vec<u64>,
}

/// A number that is constant or depends on the time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A constant.
    Fixed(f64),
    /// A sine wave.
    Wave {
        /// The mean.
        mean: f64,
        /// The largest difference from the mean.
        amplitude: f64,
        /// The period, in seconds.
        period_s: f64,
    },
    /// Grows without limit, like energy.
    Ramp {
        /// The value at the beginning of 1970 modulo 10^9 seconds, which keeps it small.
        start: f64,
        /// The growth per second.
        per_s: f64,
    },
}

impl Value {
    /// The current value.
    #[must_use]
    pub fn now(self) -> f64 {
        let second = since_epoch_us() as f64 / 1e6;
        match self {
            Self::Fixed(value) => value,
            Self::Wave { mean, amplitude, period_s } => {
                mean + amplitude * (second / period_s * std::f64::consts::TAU).sin()
            }
            Self::Ramp { start, per_s } => start + second % 1e9 * per_s,
        }
    }

    /// The current value as a whole number that is not negative.
    #[must_use]
    pub fn count(self) -> u64 {
        self.now() as u64
    }
}

/// A buffer of samples in percent.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Samples {
    /// Fixed samples: µs since 1970, and the value.
    Given(Vec<(u64, u32)>),
    /// These values in turn, forever. The buffer has the last 120.
    Turning {
        /// Time between two samples.
        every_ms: u64,
        /// The values.
        values: Vec<u32>,
    },
}

impl Samples {
    /// The samples that are newer than this, oldest first.
    #[must_use]
    pub fn after(&self, last_seen_us: u64) -> Vec<(u64, u32)> {
        match self {
            Self::Given(samples) => {
                samples.iter().copied().filter(|(timestamp_us, _)| *timestamp_us > last_seen_us).collect()
            }
            Self::Turning { every_ms, values } => {
                let every_us = every_ms.max(&1) * 1_000;
                let last = since_epoch_us() / every_us;
                let first = (last.saturating_sub(119)).max(last_seen_us / every_us + 1);
                let value = |turn: u64| values.get((turn % values.len().max(1) as u64) as usize);
                (first..=last).filter_map(|turn| Some((turn * every_us, *value(turn)?))).collect()
            }
        }
    }
}

/// A process on a GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its process ID.
    pub pid: u32,
    /// The list with this process.
    #[serde(default)]
    pub kind: Kind,
    /// Memory in bytes; `null` is NVML's "not available".
    pub memory: Option<u64>,
    /// Its MIG instance.
    pub instance: Option<u32>,
    /// Its utilization; without it, the process has no samples.
    pub utilization: Option<Utilization>,
}

/// A list of processes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Compute contexts.
    #[default]
    Compute,
    /// Graphics contexts.
    Graphics,
    /// Clients of MPS.
    Mps,
    /// No list, but the process has samples: it has just exited.
    Gone,
}

/// The utilization by a process, in percent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Utilization {
    /// By kernels.
    pub sm: u32,
    /// Of device memory.
    pub memory: u32,
    /// By encoding.
    pub encoder: u32,
    /// By decoding.
    pub decoder: u32,
    /// Time of the sample, in µs since 1970; the current time if absent.
    pub at_us: Option<u64>,
}

/// A MIG instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    /// Its UUID.
    pub uuid: String,
    /// Its memory.
    pub memory_total: u64,
    /// Memory that is in use.
    pub memory_used: u64,
}

/// The current time, in µs since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "not an age: this is how NVML writes a timestamp")]
pub fn since_epoch_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
