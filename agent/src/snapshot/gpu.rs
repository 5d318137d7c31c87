//! GPUs as NVML reports them, and each container's use of them.
//!
//! All values are in base units: bytes, joules, watts, hertz, degrees Celsius, ratios from 0 to 1. A value that a GPU
//! does not support, or did not return this time, is `None`.

use std::time::Duration;

/// Number of buckets of a [`RatioHistogram`]. The upper bounds are 0.05, 0.1, … 1.
pub const RATIO_BUCKETS: usize = 20;

/// A histogram of a ratio, in steps of 1/20, since the agent started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatioHistogram {
    /// Samples per bucket, not cumulative.
    pub counts: [u64; RATIO_BUCKETS],
    /// The sum of all samples.
    pub sum: f64,
}

impl RatioHistogram {
    /// Counts one sample in whole percent, as NVML reports it. Values above 100 are ignored.
    pub fn add_percent(&mut self, percent: u32) {
        let bucket = percent.saturating_sub(1) as usize * RATIO_BUCKETS / 100;
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += f64::from(percent) / 100.0;
        }
    }
}

/// The source that reports a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownBy {
    /// NVML reports it, or reported it until the GPU was lost.
    #[default]
    Nvml,
    /// The kernel driver lists it, but NVML does not: the GPU could not be initialized.
    Driver,
    /// An Xid error contains its PCI address; nothing else is known.
    Xid,
}

/// One GPU.
#[derive(Clone, Debug, Default)]
pub struct Gpu {
    /// The source that reports it.
    pub known_by: KnownBy,
    /// NVML's index: its position in the order of PCI addresses.
    pub index: u32,
    /// Its unique ID, `GPU-…`; empty if it is unknown.
    pub uuid: String,
    /// The model, such as `NVIDIA H100 PCIe`.
    pub name: String,
    /// Domain, bus, device and function: `00000000:01:00.0`.
    pub pci_bus_id: String,
    /// N of its device node, `/dev/nvidiaN`.
    pub minor: Option<u32>,
    /// True while it responds; false if it has fallen off the bus, needs a reset, could not be initialized, or NVML
    /// hangs.
    pub up: bool,
    /// Whether MIG is enabled.
    pub mig_enabled: Option<bool>,
    /// MIG instances.
    pub mig_instances: Vec<MigInstance>,
    /// Share of time in which a kernel was running, over NVML's last sample period of 1/6 s to 1 s.
    pub utilization_ratio: Option<f64>,
    /// Share of time in which device memory was read or written, over the same period.
    pub memory_utilization_ratio: Option<f64>,
    /// Histogram of all utilization samples in the driver's buffer.
    pub utilization_samples: Option<RatioHistogram>,
    /// The highest recent utilization sample.
    pub utilization_max_ratio: Option<f64>,
    /// Share of time in which the encoder was busy, over NVML's sample period.
    pub encoder_ratio: Option<f64>,
    /// Share of time in which the decoder was busy, over NVML's sample period.
    pub decoder_ratio: Option<f64>,
    /// Total device memory.
    pub memory_total_bytes: Option<u64>,
    /// Allocated memory, of all processes.
    pub memory_used_bytes: Option<u64>,
    /// The highest recent value of `memory_used_bytes`.
    pub memory_used_max_bytes: Option<u64>,
    /// Memory that can be allocated.
    pub memory_free_bytes: Option<u64>,
    /// Memory reserved by driver and firmware.
    pub memory_reserved_bytes: Option<u64>,
    /// Power draw; on Ampere (except GA100) and newer, the mean over one second.
    pub power_watts: Option<f64>,
    /// The highest recent instantaneous power draw.
    pub power_max_watts: Option<f64>,
    /// The enforced power limit.
    pub power_limit_watts: Option<f64>,
    /// Energy used since the driver was loaded, in mJ as NVML counts it, so that no precision is lost.
    pub energy_mj: Option<u64>,
    /// Temperature of the chip.
    pub temperature_celsius: Option<f64>,
    /// Temperature of the memory.
    pub memory_temperature_celsius: Option<f64>,
    /// Clocks by domain: `graphics`, `sm`, `memory`, `video`.
    pub clocks_hertz: Vec<(&'static str, f64)>,
    /// Clock throttling reasons, and whether each is active now.
    pub throttle_reasons: Vec<(&'static str, bool)>,
    /// Time in which clocks were throttled since the driver was loaded, by reason.
    pub throttled: Vec<(&'static str, Duration)>,
    /// ECC errors since the driver was loaded: `corrected`, `uncorrected`.
    pub ecc_errors: Vec<(&'static str, u64)>,
    /// Remapped memory rows: `correctable`, `uncorrectable`.
    pub remapped_rows: Vec<(&'static str, u64)>,
    /// Whether a row remapping is pending until the next reset.
    pub row_remap_pending: Option<bool>,
    /// Whether a row remapping has failed.
    pub row_remap_failed: Option<bool>,
    /// PCIe replays.
    pub pcie_replays: Option<u64>,
    /// Bytes over PCIe since the agent started, from the GPU's view: `transmit`, `receive`.
    pub pcie_bytes: Vec<(&'static str, u64)>,
    /// Bytes over all NVLinks: `transmit`, `receive`.
    pub nvlink_bytes: Vec<(&'static str, u64)>,
    /// NVLink errors: `crc_flit`, `crc_data`, `replay`, `recovery`.
    pub nvlink_errors: Vec<(&'static str, u64)>,
    /// GPU performance monitoring (GPM), on Hopper and later.
    pub gpm: Gpm,
    /// Whether Xid errors are monitored.
    pub xid_watched: bool,
    /// Xid errors since the agent started, by number.
    pub xids: Vec<(u64, u64)>,
    /// The last Xid error's number.
    pub last_xid: Option<u64>,
    /// Processes that use it, by owner: `container`, `host`, and `unknown` for processes that are not visible in this
    /// PID namespace. Empty if NVML did not report processes.
    pub processes: Vec<(&'static str, u64)>,
}

/// Means over the time between the last two samples.
#[derive(Clone, Debug, Default)]
pub struct Gpm {
    /// Activity ratios by unit: `graphics`, `sm`, `sm_occupancy`, `tensor`, `dram`, `fp64`, `fp32`, `fp16`, `integer`.
    pub ratios: Vec<(&'static str, f64)>,
    /// Bytes per second that the GPU sent over PCIe.
    pub pcie_transmit_bytes_per_second: Option<f64>,
    /// Bytes per second that the GPU received over PCIe.
    pub pcie_receive_bytes_per_second: Option<f64>,
}

impl Gpm {
    /// The ratio of that name.
    #[must_use]
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.ratios.iter().find_map(|(other, ratio)| (*other == name).then_some(*ratio))
    }
}

/// One MIG instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigInstance {
    /// Its index on the GPU.
    pub index: u32,
    /// Its unique ID, `MIG-…`; empty if NVML does not report it.
    pub uuid: String,
    /// Total memory.
    pub memory_total_bytes: Option<u64>,
    /// Allocated memory.
    pub memory_used_bytes: Option<u64>,
}

/// One container's use of one GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerGpu {
    /// The GPU's index.
    pub index: u32,
    /// The GPU's unique ID.
    pub uuid: String,
    /// Number of the container's processes on the GPU.
    pub processes: Option<u64>,
    /// Share of time in which its kernels ran.
    pub utilization_ratio: Option<f64>,
    /// Share of time in which it read or wrote device memory.
    pub memory_utilization_ratio: Option<f64>,
    /// Share of time in which it used the encoder.
    pub encoder_ratio: Option<f64>,
    /// Share of time in which it used the decoder.
    pub decoder_ratio: Option<f64>,
    /// Device memory it has allocated.
    pub memory_used_bytes: Option<u64>,
    /// `memory_used_bytes` divided by the total memory of the GPU.
    pub memory_used_ratio: Option<f64>,
    /// Its utilization, integrated over the time since the agent first saw it on this GPU.
    pub busy: Duration,
    /// Its share of the GPU's energy since then, in joules: the energy used while the GPU was busy, split by
    /// utilization. `None` if the GPU does not count energy.
    pub energy_joules: Option<f64>,
}

impl ContainerGpu {
    /// A copy with the counters only.
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

/// Status of NVML.
#[derive(Clone, Debug, Default)]
pub struct NvmlUsage {
    /// True while the library is loaded and its calls return.
    pub up: bool,
    /// The driver's version.
    pub driver_version: String,
    /// The host name.
    pub hostname: String,
    /// Age of the last complete reading; `None` before the first.
    pub reading_age: Option<Duration>,
    /// Duration of that reading.
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
    fn a_percentage_is_counted_in_the_first_bucket_whose_upper_bound_it_does_not_exceed() {
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
