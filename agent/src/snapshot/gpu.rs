//! GPUs, as NVML tells of them, and what each container does on them.
//!
//! Base units throughout: bytes, joules, watts, hertz, degrees Celsius, ratios from 0 to 1. What a GPU does not
//! support, or did not say this time, is `None`.

use std::time::Duration;

/// Buckets of a [`RatioHistogram`] that have an upper bound: 0.05, 0.1, … 1.
pub const RATIO_BUCKETS: usize = 20;

/// How often a ratio was in which twentieth, since the agent started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatioHistogram {
    /// Samples above the last bucket's upper bound and up to this one's: 0.05 for the first, 1 for the last.
    pub counts: [u64; RATIO_BUCKETS],
    /// The sum of all samples.
    pub sum: f64,
}

impl RatioHistogram {
    /// Counts one sample of whole percents, which is what NVML gives. More than 100 is no percentage, and left out.
    pub fn add_percent(&mut self, percent: u32) {
        let bucket = percent.saturating_sub(1) as usize * RATIO_BUCKETS / 100;
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += f64::from(percent) / 100.0;
        }
    }
}

/// Where the agent knows a GPU from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownBy {
    /// NVML reports it, or did until it was lost.
    #[default]
    Nvml,
    /// The kernel driver lists it, NVML does not: it could not be initialized.
    Driver,
    /// An Xid error named its PCI address; nothing else is known.
    Xid,
}

/// One GPU.
#[derive(Clone, Debug, Default)]
pub struct Gpu {
    /// Where the agent knows it from.
    pub known_by: KnownBy,
    /// NVML's index: its place in the order of PCI addresses.
    pub index: u32,
    /// Its unique id, `GPU-…`. Empty where it did not say.
    pub uuid: String,
    /// The model, such as `NVIDIA H100 PCIe`.
    pub name: String,
    /// Domain, bus, device and function: `00000000:01:00.0`.
    pub pci_bus_id: String,
    /// N of its device node, `/dev/nvidiaN`.
    pub minor: Option<u32>,
    /// True while it answers; false if it has fallen off the bus, waits for a reset, could not be initialized, or NVML
    /// hangs.
    pub up: bool,
    /// Whether it is split into instances (MIG).
    pub mig_enabled: Option<bool>,
    /// The instances.
    pub mig_instances: Vec<MigInstance>,
    /// Share of time with a kernel running, over NVML's own last sample period of 1/6 s to 1 s.
    pub utilization_ratio: Option<f64>,
    /// Share of time with device memory being read or written, likewise.
    pub memory_utilization_ratio: Option<f64>,
    /// Every sample of utilization in the driver's buffer.
    pub utilization_samples: Option<RatioHistogram>,
    /// The highest of these of late.
    pub utilization_max_ratio: Option<f64>,
    /// Share of time the encoder was busy, over NVML's sample period.
    pub encoder_ratio: Option<f64>,
    /// Share of time the decoder was busy, likewise.
    pub decoder_ratio: Option<f64>,
    /// All device memory.
    pub memory_total_bytes: Option<u64>,
    /// Memory allocated by anyone.
    pub memory_used_bytes: Option<u64>,
    /// The most that this was of late.
    pub memory_used_max_bytes: Option<u64>,
    /// Memory that can be allocated.
    pub memory_free_bytes: Option<u64>,
    /// Memory that driver and firmware keep.
    pub memory_reserved_bytes: Option<u64>,
    /// Power drawn; on Ampere (but GA100) and newer the mean of a second.
    pub power_watts: Option<f64>,
    /// The highest momentary power of late.
    pub power_max_watts: Option<f64>,
    /// The limit that is in force.
    pub power_limit_watts: Option<f64>,
    /// Energy used since the driver was loaded, in mJ as NVML counts it, so that it stays exact.
    pub energy_mj: Option<u64>,
    /// Temperature of the chip.
    pub temperature_celsius: Option<f64>,
    /// Temperature of the memory.
    pub memory_temperature_celsius: Option<f64>,
    /// Clocks by domain: `graphics`, `sm`, `memory`, `video`.
    pub clocks_hertz: Vec<(&'static str, f64)>,
    /// Why clocks are held down, each with whether it applies now.
    pub throttle_reasons: Vec<(&'static str, bool)>,
    /// How long clocks were held down since the driver was loaded, by reason.
    pub throttled: Vec<(&'static str, Duration)>,
    /// Memory errors since the driver was loaded: `corrected`, `uncorrected`.
    pub ecc_errors: Vec<(&'static str, u64)>,
    /// Rows of memory that were replaced: `correctable`, `uncorrectable`.
    pub remapped_rows: Vec<(&'static str, u64)>,
    /// Whether a replacement waits for a reset.
    pub row_remap_pending: Option<bool>,
    /// Whether a replacement has failed.
    pub row_remap_failed: Option<bool>,
    /// PCIe packets sent again.
    pub pcie_replays: Option<u64>,
    /// Bytes over PCIe since the agent started: `transmit`, `receive`, as the GPU sees it.
    pub pcie_bytes: Vec<(&'static str, u64)>,
    /// Bytes over all NVLinks: `transmit`, `receive`.
    pub nvlink_bytes: Vec<(&'static str, u64)>,
    /// NVLink errors: `crc_flit`, `crc_data`, `replay`, `recovery`.
    pub nvlink_errors: Vec<(&'static str, u64)>,
    /// Performance counters of Hopper and later.
    pub gpm: Gpm,
    /// Whether Xid errors are watched for.
    pub xid_watched: bool,
    /// Xid errors since the agent started, by number.
    pub xids: Vec<(u64, u64)>,
    /// The last Xid error's number.
    pub last_xid: Option<u64>,
    /// Processes that use it, by owner: `container`, `host`, and `unknown` for those that this process namespace does
    /// not show. Empty where NVML did not say.
    pub processes: Vec<(&'static str, u64)>,
}

/// Means over the time between the last two samples.
#[derive(Clone, Debug, Default)]
pub struct Gpm {
    /// Ratios by what was active: `graphics`, `sm`, `sm_occupancy`, `tensor`, `dram`, `fp64`, `fp32`, `fp16`, `integer`.
    pub ratios: Vec<(&'static str, f64)>,
    /// Bytes per second sent over PCIe, by the GPU.
    pub pcie_transmit_bytes_per_second: Option<f64>,
    /// Bytes per second received over PCIe, by the GPU.
    pub pcie_receive_bytes_per_second: Option<f64>,
}

impl Gpm {
    /// The ratio of that name.
    #[must_use]
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.ratios.iter().find_map(|(other, ratio)| (*other == name).then_some(*ratio))
    }
}

/// One instance of a GPU that is split (MIG).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigInstance {
    /// Its index in the GPU.
    pub index: u32,
    /// Its unique ID, `MIG-…`; empty if NVML does not report it.
    pub uuid: String,
    /// Its memory.
    pub memory_total_bytes: Option<u64>,
    /// Memory allocated in it.
    pub memory_used_bytes: Option<u64>,
}

/// What one container does on one GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerGpu {
    /// The GPU's index.
    pub index: u32,
    /// The GPU's unique id.
    pub uuid: String,
    /// Its processes there.
    pub processes: Option<u64>,
    /// Share of time in which its kernels ran.
    pub utilization_ratio: Option<f64>,
    /// Share of time in which it read or wrote device memory.
    pub memory_utilization_ratio: Option<f64>,
    /// Share of time in which it encoded.
    pub encoder_ratio: Option<f64>,
    /// Share of time in which it decoded.
    pub decoder_ratio: Option<f64>,
    /// Device memory that it holds.
    pub memory_used_bytes: Option<u64>,
    /// That, by all memory of the GPU.
    pub memory_used_ratio: Option<f64>,
    /// Its utilization, integrated over time since the agent first saw it there.
    pub busy: Duration,
    /// Its share of the GPU's energy since then, in joules: what the GPU used while it was busy, split by utilization.
    /// `None` where the GPU does not count energy.
    pub energy_joules: Option<f64>,
}

impl ContainerGpu {
    /// The same, of which only what it has used up is known.
    #[must_use]
    pub fn totals(&self) -> Self {
        Self {
            index: self.index,
            uuid: self.uuid.clone(),
            busy: self.busy,
            energy_joules: self.energy_joules,
            ..Self::default()
        }
    }
}

/// How NVML itself fares.
#[derive(Clone, Debug, Default)]
pub struct NvmlUsage {
    /// True while the library is loaded and answers.
    pub up: bool,
    /// The driver's version.
    pub driver_version: String,
    /// The host's name.
    pub hostname: String,
    /// Age of the last complete reading; `None` before the first.
    pub reading_age: Option<Duration>,
    /// How long that reading took.
    pub reading_duration: Option<Duration>,
    /// Failed calls so far, by function and error.
    pub failures: Vec<(&'static str, &'static str, u64)>,
    /// Impossible values rejected so far, by value.
    pub rejected: Vec<(&'static str, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_counted_in_the_bucket_that_it_is_at_most_the_bound_of() {
        for (percent, bucket) in
            [(0, 0), (1, 0), (5, 0), (6, 1), (50, 9), (51, 10), (95, 18), (96, 19), (100, 19)]
        {
            let mut histogram = RatioHistogram::default();
            histogram.add_percent(percent);
            assert_eq!(histogram.counts.iter().position(|count| *count == 1), Some(bucket), "{percent}");
            assert_eq!(histogram.sum, f64::from(percent) / 100.0);
        }
        let mut histogram = RatioHistogram::default();
        histogram.add_percent(101);
        histogram.add_percent(u32::MAX);
        assert_eq!(histogram, RatioHistogram::default());
    }
}
