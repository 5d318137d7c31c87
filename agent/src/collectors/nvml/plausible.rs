//! The limits of values from NVML, in one table.
//!
//! Drivers and firmware occasionally report sentinels (all bits set) and garbage. Every number from NVML passes through
//! [`Checks`] before it is exported, stored or used in a calculation. An impossible value is treated as not reported,
//! and counted by name in `glassbox_nvml_rejected_values_total`. The limits are far beyond real hardware: they reject
//! impossible values, not unusual ones. docs/degradation.md lists them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A kind of value. Its limits are in [`Quantity::rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Quantity {
    Utilization,
    Temperature,
    MemoryTemperature,
    Power,
    PowerLimit,
    Energy,
    MemoryTotal,
    MemoryUsed,
    MemoryFree,
    MemoryReserved,
    ProcessMemory,
    MigMemory,
    Clock,
    ThrottledTime,
    EccErrors,
    RemappedRows,
    RemapFlag,
    PcieReplays,
    PcieBytes,
    NvlinkBytes,
    NvlinkErrors,
    ActiveRatio,
    PcieRate,
    Xid,
    SampleTime,
    Minor,
}

/// The limits of a quantity.
pub(super) struct Rule {
    /// The label `value`.
    pub(super) name: &'static str,
    least: f64,
    most: f64,
    /// For counters: the maximum growth per second.
    pub(super) per_second: f64,
}

const fn up_to(name: &'static str, most: f64) -> Rule {
    between(name, 0.0, most)
}

const fn between(name: &'static str, least: f64, most: f64) -> Rule {
    Rule { name, least, most, per_second: f64::INFINITY }
}

const fn counter(name: &'static str, most: f64, per_second: f64) -> Rule {
    Rule { name, least: 0.0, most, per_second }
}

/// Maximum power of a GPU, in watts. A board with four dies draws about 2,700.
const POWER_MAX_WATTS: f64 = 10_000.0;
/// Momentary power may exceed the limit, but not by this factor.
const POWER_BY_LIMIT: f64 = 3.0;
const TEN_YEARS_S: f64 = 3.2e8;
/// Maximum memory of a GPU, in bytes: 16 TiB.
const MEMORY_MAX_BYTES: f64 = 17_592_186_044_416.0;

impl Quantity {
    /// The limits, in the units of the checked values.
    pub(super) const fn rule(self) -> Rule {
        match self {
            // Percent.
            Self::Utilization => up_to("utilization", 100.0),
            // Degrees Celsius; chips shut down at about 110.
            Self::Temperature => up_to("temperature", 150.0),
            Self::MemoryTemperature => up_to("memory_temperature", 150.0),
            // Watts. Power is also checked against the current power limit.
            Self::Power => up_to("power", POWER_MAX_WATTS),
            Self::PowerLimit => between("power_limit", 1.0, POWER_MAX_WATTS),
            // Millijoules. Growth is also checked against the current power limit.
            Self::Energy => counter("energy", POWER_MAX_WATTS * TEN_YEARS_S * 1e3, POWER_MAX_WATTS * 1e3),
            // Bytes. All except the total are also checked against the total.
            Self::MemoryTotal => between("memory_total", 1.0, MEMORY_MAX_BYTES),
            Self::MemoryUsed => up_to("memory_used", MEMORY_MAX_BYTES),
            Self::MemoryFree => up_to("memory_free", MEMORY_MAX_BYTES),
            Self::MemoryReserved => up_to("memory_reserved", MEMORY_MAX_BYTES),
            Self::ProcessMemory => up_to("process_memory", MEMORY_MAX_BYTES),
            Self::MigMemory => up_to("mig_memory", MEMORY_MAX_BYTES),
            // MHz. Memory clocks count transfers, about 14,000 for GDDR7.
            Self::Clock => up_to("clock", 50_000.0),
            // Nanoseconds.
            Self::ThrottledTime => counter("throttled_time", TEN_YEARS_S * 1e9, 1e9),
            // Numbers of errors.
            Self::EccErrors => up_to("ecc_errors", 1e9),
            Self::RemappedRows => up_to("remapped_rows", 65_536.0),
            Self::RemapFlag => up_to("remap_flag", 1.0),
            Self::PcieReplays => up_to("pcie_replays", 4e9),
            // Bytes; PCIe 7.0 with 16 lanes carries 0.25 TB/s each way, NVLink-C2C 0.9 TB/s.
            Self::PcieBytes => counter("pcie_bytes", f64::INFINITY, 2e12),
            // KiB; NVLink 5 carries 1.8 TB/s.
            Self::NvlinkBytes => counter("nvlink_bytes", 9e15, 1e10),
            Self::NvlinkErrors => up_to("nvlink_errors", 1e15),
            // Percent. An average of samples may slightly exceed 100.
            Self::ActiveRatio => up_to("active_ratio", 105.0),
            // MiB per second.
            Self::PcieRate => up_to("pcie_rate", 2e6),
            // NVIDIA's list ends below 200.
            Self::Xid => between("xid", 1.0, 9_999.0),
            // Seconds that a sample is ahead of the clock.
            Self::SampleTime => up_to("sample_time", 86_400.0),
            Self::Minor => up_to("minor", 1_048_575.0),
        }
    }
}

/// Checks values, and counts rejected ones.
#[derive(Debug, Default)]
pub(super) struct Checks(BTreeMap<&'static str, u64>);

impl Checks {
    /// Returns the count if it is possible. All bits set, of 32 or of 64, is NVML's value for "unknown".
    pub(super) fn count(&mut self, quantity: Quantity, count: u64) -> Option<u64> {
        self.count_within(quantity, count, None)
    }

    /// Like `count`, with the maximum `most` if it is known.
    pub(super) fn count_within(&mut self, quantity: Quantity, count: u64, most: Option<u64>) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "limits are round numbers")]
        let possible = within(quantity, count as f64)
            && most.is_none_or(|most| count <= most)
            && ![u64::MAX, u64::from(u32::MAX)].contains(&count);
        self.judge(quantity, possible, count)
    }

    /// Like `count`, for 32 bits.
    pub(super) fn short(&mut self, quantity: Quantity, count: u32) -> Option<u32> {
        self.count(quantity, count.into()).and_then(|count| u32::try_from(count).ok())
    }

    /// Returns the number if it is possible.
    pub(super) fn real(&mut self, quantity: Quantity, real: f64) -> Option<f64> {
        self.judge(quantity, within(quantity, real), real)
    }

    /// Converts integer percent to a ratio, if it is possible.
    pub(super) fn ratio(&mut self, percent: u32) -> Option<f64> {
        self.short(Quantity::Utilization, percent).map(|percent| f64::from(percent) / 100.0)
    }

    /// Converts milliwatts to watts, if the value is possible under this power limit.
    pub(super) fn power_watts(&mut self, milliwatts: f64, limit_watts: Option<f64>) -> Option<f64> {
        let watts = milliwatts / 1_000.0;
        let possible = within(Quantity::Power, watts) && watts <= most_power_watts(limit_watts);
        self.judge(Quantity::Power, possible, watts)
    }

    /// True if a timestamp, in µs since 1970, is not far ahead of the clock. A timestamp far ahead would hide all later
    /// samples.
    #[expect(clippy::disallowed_methods, reason = "the timestamp is a wall-clock time and has just arrived")]
    pub(super) fn is_sample_time(&mut self, timestamp_us: u64) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ahead = Duration::from_micros(timestamp_us).saturating_sub(now);
        self.real(Quantity::SampleTime, ahead.as_secs_f64()).is_some()
    }

    /// Counts a value that another check found impossible.
    pub(super) fn reject(&mut self, quantity: Quantity) {
        *self.0.entry(quantity.rule().name).or_default() += 1;
    }

    /// Rejected values so far, by name.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count)).collect()
    }

    fn judge<T>(&mut self, quantity: Quantity, possible: bool, value: T) -> Option<T> {
        if !possible {
            self.reject(quantity);
        }
        possible.then_some(value)
    }
}

/// False for NaN.
fn within(quantity: Quantity, value: f64) -> bool {
    let rule = quantity.rule();
    (rule.least..=rule.most).contains(&value)
}

/// Maximum power that a GPU can draw under this power limit.
pub(super) fn most_power_watts(limit_watts: Option<f64>) -> f64 {
    limit_watts.map_or(POWER_MAX_WATTS, |limit| (limit * POWER_BY_LIMIT).min(POWER_MAX_WATTS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Quantity; 26] = [
        Quantity::Utilization,
        Quantity::Temperature,
        Quantity::MemoryTemperature,
        Quantity::Power,
        Quantity::PowerLimit,
        Quantity::Energy,
        Quantity::MemoryTotal,
        Quantity::MemoryUsed,
        Quantity::MemoryFree,
        Quantity::MemoryReserved,
        Quantity::ProcessMemory,
        Quantity::MigMemory,
        Quantity::Clock,
        Quantity::ThrottledTime,
        Quantity::EccErrors,
        Quantity::RemappedRows,
        Quantity::RemapFlag,
        Quantity::PcieReplays,
        Quantity::PcieBytes,
        Quantity::NvlinkBytes,
        Quantity::NvlinkErrors,
        Quantity::ActiveRatio,
        Quantity::PcieRate,
        Quantity::Xid,
        Quantity::SampleTime,
        Quantity::Minor,
    ];

    #[test]
    fn every_limit_is_documented() {
        let documented = include_str!("../../../../docs/degradation.md");
        for name in ALL.map(|quantity| quantity.rule().name) {
            assert!(documented.contains(&format!("| `{name}` |")), "{name} is not documented");
        }
    }

    /// Values seen on real hardware.
    #[test]
    fn garbage_seen_in_the_field_is_rejected_and_counted() {
        let mut checks = Checks::default();
        assert_eq!(checks.count(Quantity::Temperature, 644_245_923), None);
        assert_eq!(checks.count(Quantity::MemoryTemperature, 0xFF00_0000), None);
        assert_eq!(checks.power_watts(4_294_967_295.0, Some(350.0)), None);
        assert_eq!(checks.count(Quantity::Clock, u32::MAX.into()), None);
        assert_eq!(checks.count_within(Quantity::MemoryUsed, 200 << 30, Some(80 << 30)), None);
        assert_eq!(checks.ratio(808_334_905), None);
        assert_eq!(checks.count(Quantity::EccErrors, u32::MAX.into()), None);
        assert_eq!(checks.count(Quantity::PcieReplays, u32::MAX.into()), None);
        assert_eq!(checks.count(Quantity::Energy, u64::MAX - 2047), None);
        assert_eq!(checks.count_within(Quantity::ProcessMemory, 1 << 62, Some(80 << 30)), None);
        assert_eq!(checks.all().iter().map(|(_, count)| count).sum::<u64>(), 10);
        assert!(!checks.is_sample_time(u64::MAX));
    }

    #[test]
    fn sentinels_and_power_far_above_the_limit_are_rejected_below_the_absolute_maximum() {
        let mut checks = Checks::default();
        assert_eq!(checks.count(Quantity::MemoryTotal, u32::MAX.into()), None);
        assert_eq!(checks.count(Quantity::PcieBytes, u64::MAX), None);
        assert_eq!(checks.power_watts(1_100_000.0, Some(350.0)), None);
        assert_eq!(checks.all(), [("memory_total", 1), ("pcie_bytes", 1), ("power", 1)]);
        assert_eq!(checks.count(Quantity::MemoryTotal, 80 << 30), Some(80 << 30));
        assert_eq!(checks.power_watts(1_100_000.0, Some(700.0)), Some(1_100.0));
    }

    #[test]
    fn values_of_real_hardware_are_accepted() {
        let mut checks = Checks::default();
        assert_eq!(checks.count(Quantity::Temperature, 104), Some(104));
        assert_eq!(checks.power_watts(610_000.0, Some(350.0)), Some(610.0), "a transient peak");
        assert_eq!(checks.power_watts(2_700_000.0, None), Some(2_700.0));
        assert_eq!(checks.count(Quantity::Clock, 14_001), Some(14_001));
        assert_eq!(checks.count(Quantity::Energy, 3_000_000_000_000), Some(3_000_000_000_000));
        assert_eq!(checks.ratio(100), Some(1.0));
        assert_eq!(checks.count(Quantity::MemoryTotal, 288 << 30), Some(288 << 30));
        assert!(checks.is_sample_time(0));
        assert_eq!(checks.all(), []);
    }

    proptest! {
        #[test]
        fn no_value_beyond_its_limits_passes(count in any::<u64>(), real in any::<f64>(), limit in 1.0..1e4_f64) {
            let mut checks = Checks::default();
            for quantity in ALL {
                let rule = quantity.rule();
                if let Some(passed) = checks.count(quantity, count) {
                    prop_assert!(passed as f64 <= rule.most && passed != u64::MAX, "{} {passed}", rule.name);
                }
                if let Some(passed) = checks.real(quantity, real) {
                    prop_assert!(passed >= rule.least && passed <= rule.most, "{} {passed}", rule.name);
                }
            }
            if let Some(watts) = checks.power_watts(real, Some(limit)) {
                prop_assert!(watts <= 3.0 * limit);
            }
        }
    }
}
