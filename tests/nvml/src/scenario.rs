//! What the scenario file says.

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
    /// How long calls hang before they do anything, in seconds, by function.
    pub hang_s: BTreeMap<String, f64>,
    /// Functions that this version of the library does not have.
    pub missing: Vec<String>,
}

/// A GPU.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Its unique id.
    pub uuid: String,
    /// Its model.
    pub name: String,
    /// Domain, bus, device and function.
    pub pci_bus_id: String,
    /// N of `/dev/nvidiaN`.
    pub minor: u32,
    /// True where it has fallen off the bus: every call about it fails.
    pub lost: bool,
    /// What functions return, in NVML's units, by function; where it takes a selector, `function:selector`. A function
    /// without a value is not supported.
    pub values: BTreeMap<String, Value>,
    /// Codes that calls about this GPU fail with, by function.
    pub errors: BTreeMap<String, u32>,
    /// Field values, by field.
    pub fields: BTreeMap<u32, Value>,
    /// The driver's buffers of samples, by sampling type.
    pub samples: BTreeMap<u32, Samples>,
    /// The processes on it.
    pub processes: Vec<Process>,
    /// Its instances; not empty where it is split.
    pub instances: Vec<Instance>,
    /// GPM metrics, by metric; empty where it has none.
    pub gpm: BTreeMap<u32, Value>,
    /// Xid errors so far: each is told once, as it is added.
    pub xids: Vec<u64>,
}

/// A number, fixed or by the clock.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Always the same.
    Fixed(f64),
    /// Up and down.
    Wave {
        /// The mean.
        mean: f64,
        /// The most that it differs from the mean.
        amplitude: f64,
        /// From one crest to the next, in seconds.
        period_s: f64,
    },
    /// Grows without end, such as energy.
    Ramp {
        /// At the beginning of 1970 modulo 10^9 seconds, which keeps it small.
        start: f64,
        /// By how much per second.
        per_s: f64,
    },
}

impl Value {
    /// Its value now.
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

    /// That, as a whole number that is not negative.
    #[must_use]
    pub fn count(self) -> u64 {
        self.now() as u64
    }
}

/// A buffer of samples in percent.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Samples {
    /// These: µs since 1970, and the value.
    Given(Vec<(u64, u32)>),
    /// These values in turn, forever; the buffer holds the last 120.
    Turning {
        /// Time between two of them.
        every_ms: u64,
        /// The values.
        values: Vec<u32>,
    },
}

impl Samples {
    /// What is newer than this, oldest first.
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
    /// Its number.
    pub pid: u32,
    /// The list that it is in.
    #[serde(default)]
    pub kind: Kind,
    /// Memory in bytes; `null` is NVML's "not available".
    pub memory: Option<u64>,
    /// The instance that it is in.
    pub instance: Option<u32>,
    /// What it does; without, the samples leave it out.
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
    /// None, but it has samples: it has just ended.
    Gone,
}

/// What a process does, in percent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Utilization {
    /// Kernels.
    pub sm: u32,
    /// Device memory.
    pub memory: u32,
    /// Encoding.
    pub encoder: u32,
    /// Decoding.
    pub decoder: u32,
    /// When it was sampled, µs since 1970; now without.
    pub at_us: Option<u64>,
}

/// An instance of a GPU that is split.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    /// Its unique id.
    pub uuid: String,
    /// Its memory.
    pub memory_total: u64,
    /// Memory allocated in it.
    pub memory_used: u64,
}

/// Now, µs since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "no age: how NVML writes a timestamp")]
pub fn since_epoch_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
