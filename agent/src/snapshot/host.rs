//! What is known of the host as a whole rather than of one container.

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
    /// The GPUs, by index.
    pub gpus: Vec<Gpu>,
    /// NVML; `None` where its collector is off.
    pub nvml: Option<NvmlUsage>,
    /// How the reading of writable layers fares; `None` where its collector is off.
    pub disk: Option<DiskReading>,
    /// The machine; `None` where its collector is off.
    pub machine: Option<Arc<Machine>>,
    /// The NVIDIA driver; `None` without one, or if its collector is off.
    pub nvidia_driver: Option<DriverInfo>,
    /// How far calls to it are seen; `None` if its collector is off.
    pub nvidia_tracing: Option<DriverTracing>,
    /// Xid errors as the driver reported them to the kernel; `None` where the programs are not told of them.
    pub reported_xids: Option<Vec<ReportedXids>>,
    /// GPUs that NVML does not report: their PCI addresses and Xid errors, and nothing else.
    pub stray_gpus: Vec<Gpu>,
}
