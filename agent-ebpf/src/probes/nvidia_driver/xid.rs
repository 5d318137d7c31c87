//! GPU errors that the driver reports, by GPU and Xid.
//!
//! The kprobe method hooks `nv_report_error(struct pci_dev *, u32 number, …)`, through which all releases report
//! errors. The tracepoint method hooks `nvidia:nvidia_dev_xid`, a tracepoint that this function fires in releases from
//! 575.51.02 on. The tracepoint's record is not an ABI: user space reads the offsets of its fields from tracefs.
//!
//! Cost: none while no GPU has an error.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::{kprobe, map, tracepoint},
    maps::{Array, HashMap},
    programs::{ProbeContext, TracePointContext},
};
use glassbox_ebpf::{
    Lost,
    nvidia_driver::{
        XID_ENTRIES,
        xid::{ADDRESS_BYTES, RECORD_MAX_BYTES, XidCount, XidKey, XidRecord},
    },
};

use crate::{
    frozen::offset,
    lost,
    read::{add, kernel},
};

#[map]
static NVIDIA_XIDS: HashMap<XidKey, XidCount> = HashMap::with_max_entries(XID_ENTRIES, 0);
/// Written by user space before it attaches the tracepoint's program.
#[map]
static NVIDIA_XID_RECORD: Array<XidRecord> = Array::with_max_entries(1, 0);

#[kprobe]
fn nvidia_driver_report(ctx: ProbeContext) -> u32 {
    if let (Some(device), Some(number)) = (ctx.arg::<u64>(0), ctx.arg::<u32>(1)) {
        // If there is no PCI device, the pointer is 0 and the error counts under an empty address.
        reported(kernel(device, offset!(pci_dev_name)).unwrap_or(0), number);
    }
    0
}

#[tracepoint]
fn nvidia_driver_xid(ctx: TracePointContext) -> u32 {
    fired(ctx.as_ptr() as u64);
    0
}

#[inline(always)]
fn fired(record: u64) -> Option<()> {
    let fields = NVIDIA_XID_RECORD.get(0)?;
    let number: u32 = kernel(record + u64::from(fields.number & (RECORD_MAX_BYTES - 1)), 0)?;
    let place: u32 = kernel(record + u64::from(fields.address & (RECORD_MAX_BYTES - 1)), 0)?;
    reported(record + u64::from(place & 0xFFFF), number)
}

#[inline(always)]
fn reported(address: u64, number: u32) -> Option<()> {
    let mut key = XidKey { address: [0; ADDRESS_BYTES], number, unused: 0 };
    // SAFETY: the helper checks the address and writes nothing if it cannot be read.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(address as *const u8, &mut key.address) };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if NVIDIA_XIDS.get_ptr_mut(&key).is_none() {
        // The value is built here and is not a constant, because a 16-byte constant was copied to the map with wrong
        // contents. Another CPU may have inserted the entry first; only if the map is full is there no entry
        // afterwards.
        let none = XidCount { count: 0, last_ns: now_ns };
        let _ = NVIDIA_XIDS.insert(&key, &none, u64::from(BPF_NOEXIST));
    }
    let Some(known) = NVIDIA_XIDS.get_ptr_mut(&key) else {
        lost::count(Lost::NvidiaXids);
        return None;
    };
    // SAFETY: a map element.
    unsafe {
        add(&raw mut (*known).count, 1);
        (*known).last_ns = now_ns;
    }
    Some(())
}
