//! Joins Xid errors with GPUs. There are two sources, and only one is used: the kernel programs, if a hook for Xid
//! errors is attached, otherwise NVML's events.

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{
        Snapshot,
        gpu::{Gpu, KnownBy},
        host::Host,
        pci_address::PciAddress,
        xid::ReportedXids,
    },
};

/// Joins the errors at every tick.
pub struct JoinXids;

impl Derivation for JoinXids {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, _: Moment) {
        join(&mut snapshot.host);
    }
}

/// Replaces the errors from NVML with those from the driver. GPUs that NVML does not report get a row with only these
/// errors.
pub fn join(host: &mut Host) {
    let Some(mut reported) = host.reported_xids.take() else { return };
    for gpu in &mut host.gpus {
        let address = PciAddress::parse(&gpu.pci_bus_id);
        let ReportedXids { counts, last, .. } = take(&mut reported, address).unwrap_or_default();
        (gpu.xids, gpu.last_xid) = (counts, last);
        // Without an address, no error can be attributed to the GPU.
        gpu.xid_watched = address.is_some();
    }
    for gpu in &mut host.unreported_gpus {
        let found = take(&mut reported, PciAddress::parse(&gpu.pci_bus_id)).unwrap_or_default();
        (gpu.xids, gpu.last_xid) = (found.counts, found.last);
    }
    let stray = |ReportedXids { pci_bus_id, counts, last }| Gpu {
        pci_bus_id,
        known_by: KnownBy::Xid,
        xids: counts,
        last_xid: last,
        ..Gpu::default()
    };
    host.unreported_gpus.extend(reported.into_iter().map(stray));
    host.unreported_gpus.sort_by(|one, other| one.pci_bus_id.cmp(&other.pci_bus_id));
}

/// Removes and returns the errors of the GPU with this address.
fn take(reported: &mut Vec<ReportedXids>, address: Option<PciAddress>) -> Option<ReportedXids> {
    let address = address?;
    let index = reported.iter().position(|xids| PciAddress::parse(&xids.pci_bus_id) == Some(address))?;
    Some(reported.swap_remove(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nvml(pci_bus_id: &str) -> Gpu {
        let xids = vec![(13, 4)];
        Gpu { pci_bus_id: pci_bus_id.into(), xids, last_xid: Some(13), xid_watched: true, ..Gpu::default() }
    }

    fn driver(pci_bus_id: &str, number: u64) -> ReportedXids {
        ReportedXids { pci_bus_id: pci_bus_id.into(), counts: vec![(number, 2)], last: Some(number) }
    }

    fn joined(gpus: Vec<Gpu>, reported: Option<Vec<ReportedXids>>) -> Host {
        let mut host = Host { gpus, reported_xids: reported, ..Host::default() };
        join(&mut host);
        host
    }

    #[test]
    fn errors_from_the_driver_replace_those_from_nvml_so_that_none_counts_twice() {
        let gpus = vec![nvml("00000000:01:00.0"), nvml("00010000:A1:1F.0"), nvml("00000000:02:00.0")];
        let reported = vec![driver("10000:a1:1f.0", 79), driver("0000:01:00.0", 31)];
        let host = joined(gpus, Some(reported));
        let xids: Vec<_> = host.gpus.iter().map(|gpu| (gpu.xids.clone(), gpu.last_xid)).collect();
        assert_eq!(xids, [(vec![(31, 2)], Some(31)), (vec![(79, 2)], Some(79)), (vec![], None)]);
        assert!(host.unreported_gpus.is_empty() && host.gpus.iter().all(|gpu| gpu.xid_watched));
    }

    #[test]
    fn errors_from_nvml_are_used_if_no_hook_reports_those_of_the_driver() {
        let host = joined(vec![nvml("00000000:01:00.0")], None);
        assert_eq!((host.gpus[0].xids.as_slice(), host.gpus[0].last_xid), (&[(13, 4)][..], Some(13)));
    }

    #[test]
    fn errors_of_gpus_that_nvml_does_not_report_are_kept_under_their_addresses() {
        let reported = vec![driver("0000:09:00.0", 79), driver("", 8), driver("0000:02:00.0", 31)];
        let host = joined(vec![nvml("00000000:02:00.0"), nvml("")], Some(reported));
        let strays: Vec<_> =
            host.unreported_gpus.iter().map(|gpu| (gpu.pci_bus_id.as_str(), gpu.xids[0])).collect();
        assert_eq!(strays, [("", (8, 2)), ("0000:09:00.0", (79, 2))]);
        assert_eq!((host.gpus[0].last_xid, host.gpus[0].xid_watched), (Some(31), true));
        assert_eq!(
            (host.gpus[1].xids.len(), host.gpus[1].xid_watched),
            (0, false),
            "this GPU has no address"
        );
    }

    #[test]
    fn errors_of_a_gpu_that_only_the_driver_lists_are_added_to_its_row() {
        let failed = Gpu { pci_bus_id: "0001:00:01.0".into(), known_by: KnownBy::Driver, ..Gpu::default() };
        let reported = vec![driver("0001:00:01.0", 79), driver("0000:09:00.0", 31)];
        let mut host =
            Host { unreported_gpus: vec![failed], reported_xids: Some(reported), ..Host::default() };
        join(&mut host);
        let rows: Vec<_> = host
            .unreported_gpus
            .iter()
            .map(|gpu| (gpu.pci_bus_id.as_str(), gpu.known_by, gpu.last_xid))
            .collect();
        let expected =
            [("0000:09:00.0", KnownBy::Xid, Some(31)), ("0001:00:01.0", KnownBy::Driver, Some(79))];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_incomplete_address_is_rejected() {
        for text in ["", "0000:01:00", "0000:01:00.0.0", "0000:01:00.g", "1:2:3:4:5", "100000000:01:00.0"] {
            assert!(PciAddress::parse(text).is_none(), "{text}");
        }
    }
}
