//! The values of one GPU. Each is asked for by itself, and one that fails leaves the others alone.

use std::time::{Duration, Instant};

use nvml_wrapper::{
    Device, Nvml,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{Clock, Sampling, TemperatureSensor},
    enums::device::SampleValue,
    error::NvmlError,
};

use super::{
    calls::{Calls, Failures},
    fields::{Fields, Number, id},
    gpm,
    history::History,
};
use crate::snapshot::gpu::{Gpu, MigInstance};

/// Most instances of a GPU; NVIDIA's most is 7.
const INSTANCES_MAX: u32 = 64;

/// A GPU with its handle.
pub(super) struct Watched<'nvml> {
    pub(super) device: Device<'nvml>,
    /// What does not change: index, ids, name.
    pub(super) identity: Gpu,
    counters: gpm::Counters<'nvml>,
    /// It was lost, and is not asked any more before the library is loaded anew.
    pub(super) lost: bool,
}

impl<'nvml> Watched<'nvml> {
    /// Finds the GPU of that index.
    pub(super) fn find(nvml: &'nvml Nvml, index: u32, failures: &mut Failures) -> Option<Self> {
        let device = failures.ok("nvmlDeviceGetHandleByIndex_v2", nvml.device_by_index(index))?;
        let identity = Gpu {
            index,
            uuid: failures.ok("nvmlDeviceGetUUID", device.uuid()).unwrap_or_default(),
            name: failures.ok("nvmlDeviceGetName", device.name()).unwrap_or_default(),
            pci_bus_id: failures
                .ok("nvmlDeviceGetPciInfo_v3", device.pci_info())
                .map(|pci| pci.bus_id)
                .unwrap_or_default(),
            minor: failures.ok("nvmlDeviceGetMinorNumber", device.minor_number()),
            ..Gpu::default()
        };
        Some(Self { device, identity, counters: gpm::Counters::default(), lost: false })
    }

    /// Under which its past is kept: its unique id, else where it is.
    pub(super) fn key(&self) -> String {
        let identity = &self.identity;
        let known = [&identity.uuid, &identity.pci_bus_id].into_iter().find(|text| !text.is_empty());
        known.cloned().unwrap_or_else(|| identity.index.to_string())
    }

    /// Takes in what would be lost or smoothed away if it were read once per tick.
    pub(super) fn sample(&self, history: &mut History, failures: &mut Failures) -> bool {
        let device = &self.device;
        let History { resting, buffer, .. } = history;
        let mut calls = Calls { failures, resting, lost: self.lost };
        let seen_us = buffer.seen_us();
        let samples = calls
            .ask_news("nvmlDeviceGetSamples", || device.samples(Sampling::GpuUtilization, seen_us))
            .unwrap_or_default();
        let memory = calls.ask("nvmlDeviceGetMemoryInfo_v2", || device.memory_info());
        let fields = calls.ask("nvmlDeviceGetFieldValues", || Fields::read(device, &[id::POWER_INSTANT_MW]));
        let lost = calls.lost;
        let now = Instant::now();
        let samples =
            samples.into_iter().filter_map(|sample| Some((sample.timestamp, percent(&sample.value)?)));
        history.add_utilization(samples, now);
        if let Some(memory) = memory {
            history.memory_peak.add(bytes_as_real(memory.used), now);
        }
        if let Some(power) = fields.and_then(|fields| fields.get(id::POWER_INSTANT_MW)) {
            history.power_peak.add(power.real() / 1_000.0, now);
        }
        lost
    }

    /// Reads everything but the processes into a row.
    pub(super) fn read(&mut self, nvml: &'nvml Nvml, calls: &mut Calls<'_>) -> Gpu {
        let mut gpu = Gpu { up: true, ..self.identity.clone() };
        let device = &self.device;
        if let Some(rates) = calls.ask("nvmlDeviceGetUtilizationRates", || device.utilization_rates()) {
            gpu.utilization_ratio = ratio(rates.gpu);
            gpu.memory_utilization_ratio = ratio(rates.memory);
        }
        let encoder = calls.ask("nvmlDeviceGetEncoderUtilization", || device.encoder_utilization());
        gpu.encoder_ratio = encoder.and_then(|info| ratio(info.utilization));
        let decoder = calls.ask("nvmlDeviceGetDecoderUtilization", || device.decoder_utilization());
        gpu.decoder_ratio = decoder.and_then(|info| ratio(info.utilization));
        if let Some(memory) = calls.ask("nvmlDeviceGetMemoryInfo_v2", || device.memory_info()) {
            gpu.memory_total_bytes = Some(memory.total);
            gpu.memory_used_bytes = Some(memory.used);
            gpu.memory_free_bytes = Some(memory.free);
            gpu.memory_reserved_bytes = Some(memory.reserved);
        }
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1_000.0;
        gpu.power_watts = calls.ask("nvmlDeviceGetPowerUsage", || device.power_usage()).map(watts);
        gpu.power_limit_watts =
            calls.ask("nvmlDeviceGetEnforcedPowerLimit", || device.enforced_power_limit()).map(watts);
        gpu.energy_mj =
            calls.ask("nvmlDeviceGetTotalEnergyConsumption", || device.total_energy_consumption());
        let temperature =
            calls.ask("nvmlDeviceGetTemperature", || device.temperature(TemperatureSensor::Gpu));
        gpu.temperature_celsius = temperature.map(f64::from);
        gpu.pcie_replays =
            calls.ask("nvmlDeviceGetPcieReplayCounter", || device.pcie_replay_counter()).map(u64::from);
        let domains = [
            ("graphics", Clock::Graphics),
            ("sm", Clock::SM),
            ("memory", Clock::Memory),
            ("video", Clock::Video),
        ];
        for (name, domain) in domains {
            if let Some(mhz) = calls.ask("nvmlDeviceGetClockInfo", || device.clock_info(domain)) {
                gpu.clocks_hertz.push((name, f64::from(mhz) * 1e6));
            }
        }
        let reasons =
            calls.ask("nvmlDeviceGetCurrentClocksThrottleReasons", || device.current_throttle_reasons());
        if let Some(now) = reasons {
            gpu.throttle_reasons =
                REASONS.iter().map(|(name, reason)| (*name, now.contains(*reason))).collect();
        }
        self.read_instances(&mut gpu, calls);
        gpu.gpm = self.counters.read(nvml, &self.device, calls);
        gpu
    }

    fn read_instances(&self, gpu: &mut Gpu, calls: &mut Calls<'_>) {
        let device = &self.device;
        let Some(mode) = calls.ask("nvmlDeviceGetMigMode", || device.mig_mode()) else { return };
        gpu.mig_enabled = Some(mode.current == 1);
        if mode.current != 1 {
            return;
        }
        let most = calls.ask("nvmlDeviceGetMaxMigDeviceCount", || device.mig_device_count()).unwrap_or(0);
        for index in 0..most.min(INSTANCES_MAX) {
            let instance = calls.ask("nvmlDeviceGetMigDeviceHandleByIndex", || {
                match device.mig_device_by_index(index) {
                    // There may be fewer than could be.
                    Err(NvmlError::NotFound | NvmlError::InvalidArg) => Ok(None),
                    other => other.map(Some),
                }
            });
            let Some(instance) = instance.flatten() else { continue };
            let memory = calls.ask("nvmlDeviceGetMemoryInfo_v2", || instance.memory_info());
            gpu.mig_instances.push(MigInstance {
                uuid: calls.ask("nvmlDeviceGetUUID", || instance.uuid()).unwrap_or_default(),
                memory_total_bytes: memory.as_ref().map(|memory| memory.total),
                memory_used_bytes: memory.as_ref().map(|memory| memory.used),
            });
        }
    }

    /// Reads what NVML has as fields only.
    pub(super) fn read_fields(&self, gpu: &mut Gpu, history: &mut History, failures: &mut Failures) -> bool {
        let mut calls = Calls { failures, resting: &mut history.resting, lost: false };
        let asked = calls.ask("nvmlDeviceGetFieldValues", || Fields::read(&self.device, &FIELDS));
        let lost = calls.lost;
        let Some(fields) = asked else { return lost };
        gpu.memory_temperature_celsius = fields.get(id::MEMORY_TEMPERATURE).map(Number::real);
        let throttled = fields.counts(&THROTTLED);
        gpu.throttled = throttled.into_iter().map(|(name, ns)| (name, Duration::from_nanos(ns))).collect();
        gpu.ecc_errors = fields.counts(&ECC);
        gpu.remapped_rows = fields.counts(&REMAPPED);
        gpu.row_remap_pending = fields.count(id::REMAP_PENDING).map(|pending| pending != 0);
        gpu.row_remap_failed = fields.count(id::REMAP_FAILURE).map(|failed| failed != 0);
        gpu.nvlink_errors = fields.counts(&NVLINK_ERRORS);
        let nvlink = fields.counts(&NVLINK_KIB);
        gpu.nvlink_bytes = nvlink.into_iter().map(|(name, kib)| (name, kib.saturating_mul(1024))).collect();
        let pcie = [
            ("transmit", &mut history.pcie_transmit, fields.get(id::PCIE_TRANSMIT_BYTES)),
            ("receive", &mut history.pcie_receive, fields.get(id::PCIE_RECEIVE_BYTES)),
        ];
        gpu.pcie_bytes =
            pcie.into_iter().filter_map(|(name, sum, now)| Some((name, sum.add(now?)?))).collect();
        lost
    }
}

const REASONS: [(&str, ThrottleReasons); 9] = [
    ("idle", ThrottleReasons::GPU_IDLE),
    ("applications_clocks", ThrottleReasons::APPLICATIONS_CLOCKS_SETTING),
    ("software_power_cap", ThrottleReasons::SW_POWER_CAP),
    ("hardware_slowdown", ThrottleReasons::HW_SLOWDOWN),
    ("sync_boost", ThrottleReasons::SYNC_BOOST),
    ("software_thermal", ThrottleReasons::SW_THERMAL_SLOWDOWN),
    ("hardware_thermal", ThrottleReasons::HW_THERMAL_SLOWDOWN),
    ("hardware_power_brake", ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN),
    ("display_clocks", ThrottleReasons::DISPLAY_CLOCK_SETTING),
];
const THROTTLED: [(&str, u32); 6] = [
    ("power", id::THROTTLED_POWER),
    ("thermal", id::THROTTLED_THERMAL),
    ("sync_boost", id::THROTTLED_SYNC_BOOST),
    ("board_limit", id::THROTTLED_BOARD_LIMIT),
    ("low_utilization", id::THROTTLED_LOW_UTILIZATION),
    ("reliability", id::THROTTLED_RELIABILITY),
];
const ECC: [(&str, u32); 2] = [("corrected", id::ECC_CORRECTED), ("uncorrected", id::ECC_UNCORRECTED)];
const REMAPPED: [(&str, u32); 2] =
    [("correctable", id::REMAPPED_CORRECTABLE), ("uncorrectable", id::REMAPPED_UNCORRECTABLE)];
const NVLINK_ERRORS: [(&str, u32); 4] = [
    ("crc_flit", id::NVLINK_CRC_FLIT),
    ("crc_data", id::NVLINK_CRC_DATA),
    ("replay", id::NVLINK_REPLAY),
    ("recovery", id::NVLINK_RECOVERY),
];
const NVLINK_KIB: [(&str, u32); 2] =
    [("transmit", id::NVLINK_TRANSMIT_KIB), ("receive", id::NVLINK_RECEIVE_KIB)];
/// All that are asked for once per round.
const FIELDS: [u32; 21] = [
    id::MEMORY_TEMPERATURE,
    id::THROTTLED_POWER,
    id::THROTTLED_THERMAL,
    id::THROTTLED_SYNC_BOOST,
    id::THROTTLED_BOARD_LIMIT,
    id::THROTTLED_LOW_UTILIZATION,
    id::THROTTLED_RELIABILITY,
    id::ECC_CORRECTED,
    id::ECC_UNCORRECTED,
    id::REMAPPED_CORRECTABLE,
    id::REMAPPED_UNCORRECTABLE,
    id::REMAP_PENDING,
    id::REMAP_FAILURE,
    id::NVLINK_CRC_FLIT,
    id::NVLINK_CRC_DATA,
    id::NVLINK_REPLAY,
    id::NVLINK_RECOVERY,
    id::NVLINK_TRANSMIT_KIB,
    id::NVLINK_RECEIVE_KIB,
    id::PCIE_TRANSMIT_BYTES,
    id::PCIE_RECEIVE_BYTES,
];

/// Whole percents as a ratio; nothing where NVML said nonsense.
fn ratio(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

fn percent(value: &SampleValue) -> Option<u32> {
    match value {
        SampleValue::U32(percent) => Some(*percent),
        SampleValue::U64(percent) => u32::try_from(*percent).ok(),
        SampleValue::I64(percent) => u32::try_from(*percent).ok(),
        SampleValue::F64(_) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
fn bytes_as_real(bytes: u64) -> f64 {
    bytes as f64
}
