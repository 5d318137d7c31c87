//! Xid errors, from the driver's function and from its tracepoint.

use std::fs;

use glassbox::{
    analysis::xids,
    config::NvidiaDriverHook,
    snapshot::{gpu::Gpu, host::Host, xid::ReportedXids},
};
use glassbox_ebpf::{Lost, nvidia_driver::XID_ENTRIES, programs};
use glassbox_tests::nvidia_module;

use super::{
    probe::{DriverProbe, reload, set},
    stand_in,
};

/// Two of the guest's PCI devices in place of GPUs.
fn addresses() -> [String; 2] {
    let devices = fs::read_dir("/sys/bus/pci/devices").unwrap().flatten();
    let mut names: Vec<_> = devices.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names[..2].to_vec().try_into().unwrap()
}

fn report(address: &str, number: u64, times: usize) {
    (0..times).for_each(|_| set("xid", &format!("{address} {number}")));
}

fn xids(pci_bus_id: &str, counts: &[(u64, u64)], last: u64) -> ReportedXids {
    ReportedXids { pci_bus_id: pci_bus_id.into(), counts: counts.into(), last: Some(last) }
}

fn errors_are_counted_by_gpu_and_number(method: NvidiaDriverHook, program: &str) -> DriverProbe {
    reload("");
    let mut probe = DriverProbe::on(method);
    assert!(probe.kernel.has(program), "{:?}", probe.kernel.outcomes());
    let [one, other] = addresses();
    assert_eq!(probe.host().reported_xids, Some(Vec::new()), "GPUs are well");
    report(&one, 79, 1);
    report(&one, 31, 3);
    report(&other, 0x1_0000, 1);
    report(&other, 13, 2);
    let expected = vec![xids(&one, &[(31, 3), (79, 1)], 31), xids(&other, &[(13, 2), (0x1_0000, 1)], 13)];
    assert_eq!(probe.host().reported_xids.as_ref(), Some(&expected));
    // NVML reports the first GPU and has reported the same errors.
    let known = Gpu { pci_bus_id: format!("0000{one}"), xids: vec![(31, 3), (79, 1)], ..Gpu::default() };
    let mut host = Host { gpus: vec![known], ..probe.host() };
    xids::join(&mut host);
    assert_eq!(host.gpus[0].xids, [(31, 3), (79, 1)]);
    assert_eq!(host.unreported_gpus.len(), 1);
    assert_eq!(
        (host.unreported_gpus[0].pci_bus_id.as_str(), host.unreported_gpus[0].last_xid),
        (other.as_str(), Some(13))
    );
    // More numbers than any driver has.
    let known = 4;
    for number in 1000..1000 + u64::from(XID_ENTRIES) {
        report(&one, number, 1);
    }
    let counted: u64 = probe.host().reported_xids.unwrap().iter().map(|gpu| gpu.counts.len() as u64).sum();
    assert_eq!((counted, probe.lost(Lost::NvidiaXids)), (XID_ENTRIES.into(), known));
    probe
}

#[test]
fn errors_are_counted_with_the_drivers_function() {
    let Some(_alone) = stand_in("errors_are_counted_with_the_drivers_function") else { return };
    errors_are_counted_by_gpu_and_number(NvidiaDriverHook::Functions, programs::NVIDIA_DRIVER_REPORT);
}

#[test]
fn errors_are_counted_with_the_drivers_tracepoint() {
    let Some(_alone) = stand_in("errors_are_counted_with_the_drivers_tracepoint") else {
        return;
    };
    let probe = errors_are_counted_by_gpu_and_number(NvidiaDriverHook::Syscalls, programs::NVIDIA_DRIVER_XID);
    // The reason to prefer the function.
    assert!(nvidia_module::unload().is_err(), "a driver with an attached tracepoint cannot be unloaded");
    drop(probe);
}

#[test]
fn errors_are_kept_while_the_driver_is_unloaded() {
    let Some(_alone) = stand_in("errors_are_kept_while_the_driver_is_unloaded") else {
        return;
    };
    reload("");
    let mut probe = DriverProbe::start();
    let [one, _] = addresses();
    report(&one, 79, 1);
    // The agent's hooks do not keep the module loaded.
    nvidia_module::unload().unwrap();
    probe.look();
    assert_eq!(probe.host().reported_xids, Some(vec![xids(&one, &[(79, 1)], 79)]));
    nvidia_module::load("").unwrap();
    probe.look();
    report(&one, 79, 1);
    assert_eq!(probe.host().reported_xids, Some(vec![xids(&one, &[(79, 2)], 79)]));
}
