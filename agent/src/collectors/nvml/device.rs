//! The values of one GPU. Each is read by its own call, so a failed call does not affect the others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use nvml_wrapper::{
    Device, Nvml,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{Clock, Sampling, TemperatureSensor},
    enums::device::SampleValue,
    error::NvmlError,
    struct_wrappers::device::MemoryInfo,
};

use super::{
    calls::{Calls, Failures},
    fields::{Fields, Number, id},
    gpm,
    history::History,
    meter::{Begin, Count, Meter, Width},
    plausible::{Checks, Quantity, most_power_watts},
};
use crate::snapshot::gpu::{Gpu, MigInstance};

/// Maximum number of instances of one GPU; NVIDIA's maximum is 7.
const INSTANCES_MAX: u32 = 64;

/// A GPU with its handle.
pub(super) struct Watched<'nvml> {
    pub(super) device: Device<'nvml>,
    /// Constant values: index, IDs, name.
    pub(super) identity: Gpu,
    counters: gpm::Counters<'nvml>,
    /// True if the GPU was lost. It is not read again until the library is reloaded.
    pub(super) lost: bool,
}

impl<'nvml> Watched<'nvml> {
    /// Finds the GPU with this index.
    pub(super) fn find(
        nvml: &'nvml Nvml,
        index: u32,
        failures: &mut Failures,
        checks: &mut Checks,
    ) -> Option<Self> {
        let device = failures.ok("nvmlDeviceGetHandleByIndex_v2", nvml.device_by_index(index))?;
        let identity = Gpu {
            index,
            uuid: failures.ok("nvmlDeviceGetUUID", device.uuid()).unwrap_or_default(),
            name: failures.ok("nvmlDeviceGetName", device.name()).unwrap_or_default(),
            pci_bus_id: failures
                .ok("nvmlDeviceGetPciInfo_v3", device.pci_info())
                .map(|pci| pci.bus_id)
                .unwrap_or_default(),
            minor: failures
                .ok("nvmlDeviceGetMinorNumber", device.minor_number())
                .and_then(|minor| checks.short(Quantity::Minor, minor)),
            ..Gpu::default()
        };
        Some(Self { device, identity, counters: gpm::Counters::default(), lost: false })
    }

    /// The key of its history: the unique ID, otherwise its PCI address, otherwise its index.
    pub(super) fn key(&self) -> String {
        let identity = &self.identity;
        let known = [&identity.uuid, &identity.pci_bus_id].into_iter().find(|text| !text.is_empty());
        known.cloned().unwrap_or_else(|| identity.index.to_string())
    }

    /// Samples values that one reading per tick would miss or average. Returns true if the GPU is lost.
    pub(super) fn sample(&self, history: &mut History, failures: &mut Failures, checks: &mut Checks) -> bool {
        let device = &self.device;
        let History { resting, buffer, .. } = history;
        let mut calls = Calls { failures, checks, resting, lost: self.lost };
        let seen_us = buffer.seen_us();
        let samples =
            calls.call_or_empty("nvmlDeviceGetSamples", || device.samples(Sampling::GpuUtilization, seen_us));
        let memory = calls.ask("nvmlDeviceGetMemoryInfo_v2", || device.memory_info());
        let fields = calls.ask("nvmlDeviceGetFieldValues", || Fields::read(device, &[id::POWER_INSTANT_MW]));
        let lost = calls.lost;
        let now = Instant::now();
        if let Some(samples) = samples {
            let percents = samples.iter().filter_map(|sample| {
                let percent = checks.short(Quantity::Utilization, percent(&sample.value)?)?;
                checks.is_sample_time(sample.timestamp).then_some((sample.timestamp, percent))
            });
            // Checked before the cursor sees them, because the newest timestamp decides which samples are new.
            let percents: Vec<_> = percents.collect();
            history.add_utilization(percents.into_iter(), now);
        }
        if let Some(used) = memory.and_then(|memory| Memory::of(&memory, checks).used) {
            history.memory_peak.add(bytes_as_real(used), now);
        }
        if let Some(power) = fields.and_then(|fields| fields.get(id::POWER_INSTANT_MW))
            && let Some(watts) = checks.power_watts(power.real(), history.power_limit_watts)
        {
            history.power_peak.add(watts, now);
        }
        lost
    }

    /// Reads all values except the processes into a row. Also returns the energy used since the last reading, in mJ.
    pub(super) fn read(
        &mut self,
        nvml: &'nvml Nvml,
        calls: &mut Calls<'_>,
        past: &mut Past<'_>,
        now: Instant,
    ) -> (Gpu, Option<u64>) {
        let mut gpu = Gpu { up: true, ..self.identity.clone() };
        let device = &self.device;
        if let Some(rates) = calls.ask("nvmlDeviceGetUtilizationRates", || device.utilization_rates()) {
            gpu.utilization_ratio = calls.checks.ratio(rates.gpu);
            gpu.memory_utilization_ratio = calls.checks.ratio(rates.memory);
        }
        let encoder = calls.ask("nvmlDeviceGetEncoderUtilization", || device.encoder_utilization());
        gpu.encoder_ratio = encoder.and_then(|info| calls.checks.ratio(info.utilization));
        let decoder = calls.ask("nvmlDeviceGetDecoderUtilization", || device.decoder_utilization());
        gpu.decoder_ratio = decoder.and_then(|info| calls.checks.ratio(info.utilization));
        if let Some(memory) = calls.ask("nvmlDeviceGetMemoryInfo_v2", || device.memory_info()) {
            let memory = Memory::of(&memory, calls.checks);
            gpu.memory_total_bytes = memory.total;
            gpu.memory_used_bytes = memory.used;
            gpu.memory_free_bytes = memory.free;
            gpu.memory_reserved_bytes = memory.reserved;
        }
        let limit = calls.ask("nvmlDeviceGetEnforcedPowerLimit", || device.enforced_power_limit());
        gpu.power_limit_watts = limit
            .and_then(|limit| calls.checks.real(Quantity::PowerLimit, f64::from(limit) / 1_000.0))
            .inspect(|limit| *past.power_limit_watts = Some(*limit));
        let power = calls.ask("nvmlDeviceGetPowerUsage", || device.power_usage());
        gpu.power_watts =
            power.and_then(|power| calls.checks.power_watts(power.into(), *past.power_limit_watts));
        let energy = calls.ask("nvmlDeviceGetTotalEnergyConsumption", || device.total_energy_consumption());
        let energy = energy.and_then(|value| {
            let per_second = most_power_watts(*past.power_limit_watts) * 1_000.0;
            let count = Count { value, width: Width::Long, per_second, at: now };
            let meter = past.meters.entry((Quantity::Energy, "")).or_default();
            meter.add(Quantity::Energy, count, Begin::AtReading, calls.checks)
        });
        gpu.energy_mj = energy.map(|(total, _)| total);
        let used_mj = energy.map(|(_, grown)| grown);
        let temperature =
            calls.ask("nvmlDeviceGetTemperature", || device.temperature(TemperatureSensor::Gpu));
        gpu.temperature_celsius = temperature
            .and_then(|temperature| calls.checks.short(Quantity::Temperature, temperature))
            .map(f64::from);
        let replays = calls.ask("nvmlDeviceGetPcieReplayCounter", || device.pcie_replay_counter());
        gpu.pcie_replays =
            replays.and_then(|replays| calls.checks.count(Quantity::PcieReplays, replays.into()));
        let domains = [
            ("graphics", Clock::Graphics),
            ("sm", Clock::SM),
            ("memory", Clock::Memory),
            ("video", Clock::Video),
        ];
        for (name, domain) in domains {
            let mhz = calls.ask("nvmlDeviceGetClockInfo", || device.clock_info(domain));
            if let Some(mhz) = mhz.and_then(|mhz| calls.checks.short(Quantity::Clock, mhz)) {
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
        (gpu, used_mj)
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
                    // There may be fewer instances than the maximum.
                    Err(NvmlError::NotFound | NvmlError::InvalidArg) => Ok(None),
                    other => other.map(Some),
                }
            });
            let Some(instance) = instance.flatten() else { continue };
            let memory = calls.ask("nvmlDeviceGetMemoryInfo_v2", || instance.memory_info());
            let uuid = calls.ask("nvmlDeviceGetUUID", || instance.uuid()).unwrap_or_default();
            let mut within = |bytes, most| calls.checks.count_within(Quantity::MigMemory, bytes, most);
            let total = memory.as_ref().and_then(|memory| within(memory.total, gpu.memory_total_bytes));
            let used =
                memory.as_ref().and_then(|memory| within(memory.used, total.or(gpu.memory_total_bytes)));
            gpu.mig_instances.push(MigInstance {
                index,
                uuid,
                memory_total_bytes: total,
                memory_used_bytes: used,
            });
        }
    }

    /// Reads the values that NVML provides only as fields. Returns true if the GPU is lost.
    pub(super) fn read_fields(
        &self,
        gpu: &mut Gpu,
        history: &mut History,
        failures: &mut Failures,
        checks: &mut Checks,
        now: Instant,
    ) -> bool {
        let mut calls = Calls { failures, checks, resting: &mut history.resting, lost: false };
        let asked = calls.ask("nvmlDeviceGetFieldValues", || Fields::read(&self.device, &FIELDS));
        let lost = calls.lost;
        let Some(fields) = asked else { return lost };
        gpu.memory_temperature_celsius = fields
            .get(id::MEMORY_TEMPERATURE)
            .and_then(|celsius| checks.real(Quantity::MemoryTemperature, celsius.real()));
        gpu.ecc_errors = fields.counts(&ECC, Quantity::EccErrors, checks);
        gpu.remapped_rows = fields.counts(&REMAPPED, Quantity::RemappedRows, checks);
        let mut flag = |id| Some(checks.count(Quantity::RemapFlag, fields.count(id)?)? != 0);
        gpu.row_remap_pending = flag(id::REMAP_PENDING);
        gpu.row_remap_failed = flag(id::REMAP_FAILURE);
        gpu.nvlink_errors = fields.counts(&NVLINK_ERRORS, Quantity::NvlinkErrors, checks);
        let mut metered = |names: &[(&'static str, u32)], quantity: Quantity, begin| -> Vec<_> {
            let total = |(name, id): &(&'static str, u32)| {
                let number = fields.get(*id)?;
                let width = if matches!(number, Number::Short(_)) { Width::Short } else { Width::Long };
                let per_second = quantity.rule().per_second;
                let count = Count { value: number.count()?, width, per_second, at: now };
                let meter = history.meters.entry((quantity, *name)).or_default();
                Some((*name, meter.add(quantity, count, begin, checks)?.0))
            };
            names.iter().filter_map(total).collect()
        };
        let throttled = metered(&THROTTLED, Quantity::ThrottledTime, Begin::AtReading);
        gpu.throttled = throttled.into_iter().map(|(name, ns)| (name, Duration::from_nanos(ns))).collect();
        let nvlink = metered(&NVLINK_KIB, Quantity::NvlinkBytes, Begin::AtReading);
        gpu.nvlink_bytes = nvlink.into_iter().map(|(name, kib)| (name, kib.saturating_mul(1024))).collect();
        gpu.pcie_bytes = metered(&PCIE_BYTES, Quantity::PcieBytes, Begin::AtZero);
        lost
    }
}

/// Earlier values of one GPU that new values are checked against.
pub(super) struct Past<'a> {
    pub(super) power_limit_watts: &'a mut Option<f64>,
    pub(super) meters: &'a mut HashMap<(Quantity, &'static str), Meter>,
}

/// Memory sizes; impossible ones are `None`.
struct Memory {
    total: Option<u64>,
    used: Option<u64>,
    free: Option<u64>,
    reserved: Option<u64>,
}

impl Memory {
    fn of(memory: &MemoryInfo, checks: &mut Checks) -> Self {
        let total = checks.count(Quantity::MemoryTotal, memory.total);
        Self {
            total,
            used: checks.count_within(Quantity::MemoryUsed, memory.used, total),
            free: checks.count_within(Quantity::MemoryFree, memory.free, total),
            reserved: checks.count_within(Quantity::MemoryReserved, memory.reserved, total),
        }
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
const PCIE_BYTES: [(&str, u32); 2] =
    [("transmit", id::PCIE_TRANSMIT_BYTES), ("receive", id::PCIE_RECEIVE_BYTES)];
/// All fields, requested once per round.
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

/// A utilization sample. A value that does not fit into 32 bits becomes `u32::MAX`, which is rejected like any
/// impossible value.
fn percent(value: &SampleValue) -> Option<u32> {
    match value {
        SampleValue::U32(percent) => Some(*percent),
        SampleValue::U64(percent) => Some(u32::try_from(*percent).unwrap_or(u32::MAX)),
        SampleValue::I64(percent) => Some(u32::try_from(*percent).unwrap_or(u32::MAX)),
        SampleValue::F64(_) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
fn bytes_as_real(bytes: u64) -> f64 {
    bytes as f64
}
