//! Xid errors that the driver reports to the kernel. Unlike NVML's events, none is missed while the agent runs. Costs
//! one map read per tick; the map is empty while there are no errors.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aya::maps::{Array, HashMap as KernelHash, MapData};
use glassbox_ebpf::{
    maps,
    nvidia_driver::xid::{XidCount, XidKey, XidRecord},
    programs,
};

use crate::{
    kernel::{Kernel, record::Record, tracefs::Tracefs},
    snapshot::xid::ReportedXids,
};

pub(super) struct Xids {
    counts: KernelHash<MapData, XidKey, XidCount>,
    record: Array<MapData, XidRecord>,
    /// True if the format of the tracepoint's record is known.
    known: bool,
    /// True if the programs receive errors. Without a driver, the last value is kept.
    received: bool,
}

impl Xids {
    pub(super) fn new(kernel: &mut Kernel) -> anyhow::Result<Self> {
        let counts = kernel.take_map(maps::NVIDIA_XIDS)?;
        let record = kernel.take_map(maps::NVIDIA_XID_RECORD)?;
        Ok(Self { counts, record, known: false, received: false })
    }

    /// Writes the field offsets of the driver's tracepoint for its program, if the tracepoint exists.
    pub(super) fn prepare(&mut self) -> anyhow::Result<()> {
        let _tracefs = Tracefs::mounted();
        let record = Record::read("nvidia", "nvidia_dev_xid").and_then(|record| {
            Ok(XidRecord { address: record.text("dev")?, number: record.word("error_code")? })
        });
        self.known = record.is_ok();
        match record {
            Ok(record) => {
                self.record.set(0, record, 0).context("write the field offsets of the driver's tracepoint")
            }
            Err(error) => {
                tracing::debug!("the driver's tracepoint for Xid errors is unavailable: {error:#}");
                Ok(())
            }
        }
    }

    /// Records which programs were attached.
    pub(super) fn attached(&mut self, kernel: &Kernel) {
        self.received = kernel.has(programs::NVIDIA_DRIVER_REPORT)
            || self.known && kernel.has(programs::NVIDIA_DRIVER_XID);
    }

    /// All errors since the agent started, by GPU; `None` if the programs do not receive them.
    pub(super) fn read(&self) -> Option<Vec<ReportedXids>> {
        self.received.then(|| by_gpu(self.counts.iter().flatten()))
    }
}

fn by_gpu(counts: impl Iterator<Item = (XidKey, XidCount)>) -> Vec<ReportedXids> {
    let mut gpus: BTreeMap<String, (ReportedXids, u64)> = BTreeMap::new();
    for (key, XidCount { count, last_ns }) in counts {
        let address = key.address.split(|&byte| byte == 0).next().unwrap_or_default();
        let pci_bus_id = String::from_utf8_lossy(address).into_owned();
        let (gpu, newest_ns) = gpus.entry(pci_bus_id.clone()).or_default();
        gpu.pci_bus_id = pci_bus_id;
        gpu.counts.push((key.number.into(), count));
        if last_ns >= *newest_ns {
            (gpu.last, *newest_ns) = (Some(key.number.into()), last_ns);
        }
    }
    let mut gpus: Vec<_> = gpus.into_values().map(|(gpu, _)| gpu).collect();
    gpus.iter_mut().for_each(|gpu| gpu.counts.sort_unstable());
    gpus
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &[u8], number: u32, count: u64, last_ns: u64) -> (XidKey, XidCount) {
        let mut key = XidKey { address: [0; 24], number, unused: 0 };
        key.address[..address.len()].copy_from_slice(address);
        (key, XidCount { count, last_ns })
    }

    #[test]
    fn errors_are_grouped_by_gpu_and_the_last_is_the_most_recent() {
        let entries = [
            entry(b"0000:01:00.0", 79, 1, 50),
            entry(b"0000:02:00.0", 31, 5, 70),
            entry(b"0000:01:00.0", 31, 2, 60),
        ];
        let gpu = |pci_bus_id: &str, counts: &[(u64, u64)], last| ReportedXids {
            pci_bus_id: pci_bus_id.into(),
            counts: counts.into(),
            last,
        };
        let expected =
            [gpu("0000:01:00.0", &[(31, 2), (79, 1)], Some(31)), gpu("0000:02:00.0", &[(31, 5)], Some(31))];
        assert_eq!(by_gpu(entries.into_iter()), expected);
    }

    #[test]
    fn an_address_may_be_invalid_text_or_unterminated() {
        let gpus = by_gpu([entry(&[0xFF; 24], 8, 1, 1), entry(b"", 8, 1, 1)].into_iter());
        assert_eq!(gpus[0].pci_bus_id, "");
        assert_eq!(gpus[1].pci_bus_id, "\u{FFFD}".repeat(24));
    }
}
