//! Data about the host as a whole.

use std::sync::Arc;

use super::{
    disk::DiskReading,
    gpu::{Gpu, NvmlUsage},
    machine::Machine,
    nvidia_driver::{DriverInfo, DriverTracing},
    xid::ReportedXids,
};

/// The host at one tick.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// GPUs, by index.
    pub gpus: Vec<Gpu>,
    /// Status of NVML; `None` if its collector is off.
    pub nvml: Option<NvmlUsage>,
    /// Status of the rounds over the writable layers; `None` if the collector is off.
    pub disk: Option<DiskReading>,
    /// The machine; `None` if the collector is off.
    pub machine: Option<Arc<Machine>>,
    /// The NVIDIA driver; `None` without a driver, or if the collector is off.
    pub nvidia_driver: Option<DriverInfo>,
    /// How completely calls to the driver are traced; `None` if the collector is off.
    pub nvidia_tracing: Option<DriverTracing>,
    /// Xid errors as the driver reported them to the kernel; `None` if no hook reports them to the programs.
    pub reported_xids: Option<Vec<ReportedXids>>,
    /// GPUs that NVML does not report: only their PCI addresses and Xid errors are known.
    pub unreported_gpus: Vec<Gpu>,
}
