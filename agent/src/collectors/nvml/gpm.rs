//! GPM, the performance counters of Hopper and later: averages between two samples, one per round.

use nvml_wrapper::{
    Device, Nvml,
    enums::gpm::GpmMetricId as Id,
    error::{NvmlError, nvml_sym},
    gpm::{GpmSample, gpm_metrics_get},
};

use super::{calls::Calls, plausible::Quantity};
use crate::snapshot::gpu::Gpm;

/// Metrics in percent, and the names of their ratios.
const RATIOS: [(Id, &str); 9] = [
    (Id::GraphicsUtil, "graphics"),
    (Id::SmUtil, "sm"),
    (Id::SmOccupancy, "sm_occupancy"),
    (Id::AnyTensorUtil, "tensor"),
    (Id::DramBwUtil, "dram"),
    (Id::Fp64Util, "fp64"),
    (Id::Fp32Util, "fp32"),
    (Id::Fp16Util, "fp16"),
    (Id::IntegerUtil, "integer"),
];
/// Metrics in MiB per second.
const RATES: [Id; 2] = [Id::PcieTxPerSec, Id::PcieRxPerSec];
const MIB: f64 = 1_048_576.0;

/// The counters of one GPU.
#[derive(Default)]
pub(super) struct Counters<'nvml> {
    last: Option<GpmSample<'nvml>>,
}

impl<'nvml> Counters<'nvml> {
    /// The averages since the last call; empty at the first call.
    pub(super) fn read(&mut self, nvml: &'nvml Nvml, device: &Device<'nvml>, calls: &mut Calls<'_>) -> Gpm {
        let supported = calls.ask("nvmlGpmQueryDeviceSupport", || {
            // nvml-wrapper panics if it cannot free a sample, so the function must exist.
            nvml_sym(nvml.lib().nvmlGpmSampleFree.as_ref())?;
            if device.gpm_support()? { Ok(()) } else { Err(NvmlError::NotSupported) }
        });
        let sample = supported.and_then(|()| calls.ask("nvmlGpmSampleGet", || device.gpm_sample()));
        let last = std::mem::replace(&mut self.last, sample);
        let (Some(last), Some(now)) = (&last, &self.last) else { return Gpm::default() };
        let ids: Vec<Id> = RATIOS.iter().map(|(id, _)| *id).chain(RATES).collect();
        let Some(values) = calls.ask("nvmlGpmMetricsGet", || gpm_metrics_get(nvml, last, now, &ids)) else {
            return Gpm::default();
        };
        let mut values = values.into_iter().map(|value| value.ok().map(|metric| metric.value));
        let ratios = RATIOS.iter().map(|(_, name)| *name).zip(values.by_ref());
        let checks = &mut *calls.checks;
        let ratios = ratios.filter_map(|(name, percent)| {
            Some((name, checks.real(Quantity::ActiveRatio, percent?)?.min(100.0) / 100.0))
        });
        let ratios = ratios.collect();
        let mut rate = || values.next().flatten().and_then(|mib| checks.real(Quantity::PcieRate, mib));
        let mut rate = || rate().map(|mib| mib * MIB);
        Gpm { ratios, pcie_transmit_bytes_per_second: rate(), pcie_receive_bytes_per_second: rate() }
    }
}
