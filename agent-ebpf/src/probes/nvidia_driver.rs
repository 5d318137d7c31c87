//! Ioctls on the NVIDIA driver's devices: the container that makes the call, the command, its duration and its status.
//!
//! Two attach methods. With kprobes: entry and return of the driver's own ioctl functions, at no cost for other
//! processes. The hooked function identifies the device, so no call is missed because a device number is not known yet.
//! Without kprobes: the tracepoints of ioctl(2) (`syscalls:sys_enter_ioctl`, `sys_exit_ioctl`). There, the file
//! descriptor leads to the inode, and user space enters the inodes of the driver's devices into a map. Both methods use
//! helpers of 5.5 and offsets from BTF. The tracepoints miss 32-bit callers, for which they do not fire, and requests
//! that no device of the driver defines (`is_candidate`).
//!
//! In addition to ioctls: waits in poll(2) (`poll`) and Xid errors (`xid`), if the attach method has a hook for them.
//!
//! A call is stored in a direct-mapped array from its start to its end. Its structure is read at the end, because only
//! then has the driver written the status. Values in the caller's memory are untrusted: every number that becomes part
//! of a map key is one of a known few.
//!
//! Costs: docs/overhead.md.

mod accounting;
mod module;
mod poll;
mod request;
mod xid;

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns},
    macros::{kprobe, kretprobe, map, tracepoint},
    maps::{Array, HashMap, LruHashMap},
    programs::{ProbeContext, RetProbeContext, TracePointContext},
};
use glassbox_ebpf::{
    Lost,
    containers::SHARED_SLOT,
    histogram::{self, Histogram},
    nvidia_driver::{
        ALLOCATION_ENTRIES, AllocationKey, CALL_ENTRIES, CALLS_IN_FLIGHT, CHARACTER_DEVICE, CallInFlight,
        CallKey, DEVICES, DriverProcess, DriverSlot, FAILURE_ENTRIES, FailureKey, LAYOUTS, Layout,
        PROCESS_ENTRIES,
        commands::{MAGIC, MODESET_MAGIC, UVM_DEINITIALIZE, UVM_END, UVM_INITIALIZE},
        device,
    },
};

use self::request::UNKNOWN_STATUS;
use super::containers::{ALIGNED, slot_of_current};
use crate::{
    frozen::{offset, setting},
    lost,
    read::{add, kernel},
};

/// Kinds of device by inode, see `device_key` and `file_key`. Written by user space.
#[map]
static NVIDIA_DEVICES: HashMap<u64, u32> = HashMap::with_max_entries(DEVICES, 0);
/// Written by user space once it has determined the driver's release.
#[map]
static NVIDIA_LAYOUTS: Array<Layout> = Array::with_max_entries(LAYOUTS, 0);
#[map]
static NVIDIA_IN_FLIGHT: Array<CallInFlight> = Array::with_max_entries(CALLS_IN_FLIGHT, ALIGNED);
#[map]
static NVIDIA_CALLS: HashMap<CallKey, Histogram> = HashMap::with_max_entries(CALL_ENTRIES, 0);
/// The initial value of an entry in `NVIDIA_CALLS`, which is too large for the stack. Never written.
#[map]
static NVIDIA_NO_CALLS: Array<Histogram> = Array::with_max_entries(1, 0);
#[map]
static NVIDIA_FAILURES: HashMap<FailureKey, u64> = HashMap::with_max_entries(FAILURE_ENTRIES, 0);
/// Resized by user space to the configured number of containers.
#[map]
static NVIDIA_SLOTS: Array<DriverSlot> = Array::with_max_entries(256, 0);
#[map]
static NVIDIA_ALLOCATIONS: LruHashMap<AllocationKey, u64> =
    LruHashMap::with_max_entries(ALLOCATION_ENTRIES, 0);
#[map]
static NVIDIA_PROCESSES: LruHashMap<u32, DriverProcess> = LruHashMap::with_max_entries(PROCESS_ENTRIES, 0);

/// Mask of the type bits of `i_mode`, and their value for a character device.
const FILE_TYPE: u16 = 0o170_000;
const CHARACTER: u16 = 0o020_000;
/// Mask of the minor number in a device number.
const MINOR: u32 = (1 << 20) - 1;

/// The record of both tracepoints is an ABI: the number of the system call at byte 8, then its arguments or its result.
const RECORD: usize = 16;

#[tracepoint]
fn nvidia_driver_enter(ctx: TracePointContext) -> u32 {
    let request = word(&ctx, 1) as u32;
    if is_candidate(request)
        && let Some(file) = file_of(word(&ctx, 0) as u32)
        && let Some(device) = device_of(file)
    {
        entered(device, request, word(&ctx, 2));
    }
    0
}

#[tracepoint]
fn nvidia_driver_exit(ctx: TracePointContext) -> u32 {
    left(word(&ctx, 0) as i64);
    0
}

/// `nvidia_unlocked_ioctl(struct file *, unsigned int, unsigned long)`, also for 32-bit callers. Before 545.23.06:
/// `nvidia_frontend_unlocked_ioctl` and `nvidia_frontend_compat_ioctl`, with the same arguments.
#[kprobe]
fn nvidia_driver_call(ctx: ProbeContext) -> u32 {
    if let Some(file) = ctx.arg::<u64>(0)
        && let Some(device) = own_device(file)
    {
        called(&ctx, device);
    }
    0
}

/// `uvm_unlocked_ioctl_entry` with the same arguments. It serves only /dev/nvidia-uvm.
#[kprobe]
fn nvidia_driver_uvm_call(ctx: ProbeContext) -> u32 {
    called(&ctx, device::UVM);
    0
}

/// `uvm_tools_unlocked_ioctl_entry` with the same arguments.
#[kprobe]
fn nvidia_driver_tools_call(ctx: ProbeContext) -> u32 {
    called(&ctx, device::OTHER);
    0
}

/// `nvkms_unlocked_ioctl` with the same arguments. Before 545.23.06, these calls go through nvidia.ko.
#[kprobe]
fn nvidia_driver_modeset_call(ctx: ProbeContext) -> u32 {
    called(&ctx, device::OTHER);
    0
}

#[inline(always)]
fn called(ctx: &ProbeContext, device: u32) {
    if let (Some(request), Some(argument)) = (ctx.arg::<u32>(1), ctx.arg::<u64>(2)) {
        entered(device, request, argument);
    }
}

#[kretprobe]
fn nvidia_driver_return(ctx: RetProbeContext) -> u32 {
    left(ctx.ret::<i64>());
    0
}

/// A word of a tracepoint's record.
#[inline(always)]
fn word(ctx: &TracePointContext, index: usize) -> u64 {
    // SAFETY: the word is within the record of sys_enter_ioctl, or is the first word of the record of sys_exit_ioctl.
    // The verifier checks both sizes.
    unsafe { ctx.as_ptr().cast::<u8>().add(RECORD + index * 8).cast::<u64>().read_volatile() }
}

/// Rules out most ioctls of other drivers before the first lookup.
#[inline(always)]
fn is_candidate(request: u32) -> bool {
    let letter = (request >> 8) & 0xFF;
    request < UVM_END
        || request == UVM_INITIALIZE
        || request == UVM_DEINITIALIZE
        || letter == MAGIC
        || letter == MODESET_MAGIC
}

/// The file behind a descriptor of the current process.
#[inline(always)]
fn file_of(descriptor: u32) -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = kernel(task, offset!(task_files))?;
    let table: u64 = kernel(files, offset!(files_struct_fdt))?;
    let count: u32 = kernel(table, offset!(fdtable_max_fds))?;
    if descriptor >= count {
        return None;
    }
    let descriptors: u64 = kernel(table, offset!(fdtable_fd))?;
    kernel(descriptors + u64::from(descriptor) * 8, 0)
}

/// The kind of device that a file represents; `None` if it is not a device of the driver.
#[inline(always)]
fn device_of(file: u64) -> Option<u32> {
    let inode: u64 = kernel(file, offset!(file_f_inode))?;
    let mode: u16 = kernel(inode, offset!(inode_i_mode))?;
    let key = if mode & FILE_TYPE == CHARACTER {
        CHARACTER_DEVICE | u64::from(kernel::<u32>(inode, offset!(inode_i_rdev))?)
    } else {
        let number: u64 = kernel(inode, offset!(inode_i_ino))?;
        let filesystem: u64 = kernel(inode, offset!(inode_i_sb))?;
        glassbox_ebpf::nvidia_driver::file_key(kernel(filesystem, offset!(super_block_s_dev))?, number)
    };
    // SAFETY: entries are removed only when the driver is unloaded, and a stale value is harmless.
    unsafe { NVIDIA_DEVICES.get(&key) }.copied()
}

/// The kind of device that a file represents, for functions that the kernel calls only for devices of nvidia.ko.
#[inline(always)]
fn own_device(file: u64) -> Option<u32> {
    let inode: u64 = kernel(file, offset!(file_f_inode))?;
    let number: u32 = kernel(inode, offset!(inode_i_rdev))?;
    Some(device::of_minor(number & MINOR))
}

#[inline(always)]
fn entered(device: u32, request: u32, argument: u64) -> Option<()> {
    let thread = bpf_get_current_pid_tgid();
    if (thread >> 32) as u32 == setting!(agent_tgid) {
        return None;
    }
    let slot = slot_of_current()?;
    if slot == SHARED_SLOT {
        return None;
    }
    let call = NVIDIA_IN_FLIGHT.get_ptr_mut(thread as u32 & (CALLS_IN_FLIGHT - 1))?;
    let counts = NVIDIA_SLOTS.get_ptr_mut(slot)?;
    // SAFETY: map elements. Two threads with colliding IDs may write the same entry. The thread in the entry is
    // compared when a call ends, and the overwritten call is counted as lost.
    unsafe {
        if (*call).thread != 0 {
            lost::count(Lost::NvidiaCalls);
            if let Some(counts) = NVIDIA_SLOTS.get_ptr_mut((*call).slot) {
                add(&raw mut (*counts).ended, 1);
            }
        }
        (*call).thread = thread;
        (*call).argument = argument;
        (*call).request = request;
        (*call).device = device;
        (*call).slot = slot;
        add(&raw mut (*counts).begun, 1);
        let now_ns = bpf_ktime_get_ns();
        (*counts).last_begun_ns = now_ns;
        (*call).begun_ns = now_ns;
    }
    Some(())
}

#[inline(always)]
fn left(result: i64) -> Option<()> {
    let thread = bpf_get_current_pid_tgid();
    let kept = NVIDIA_IN_FLIGHT.get_ptr_mut(thread as u32 & (CALLS_IN_FLIGHT - 1))?;
    // SAFETY: a map element. The entry belongs to this call only if its thread matches.
    let call = unsafe {
        if (*kept).thread != thread {
            return None;
        }
        let call = *kept;
        (*kept).thread = 0;
        call
    };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let counts = NVIDIA_SLOTS.get_ptr_mut(call.slot)?;
    // SAFETY: a map element.
    unsafe {
        add(&raw mut (*counts).ended, 1);
        (*counts).last_ended_ns = now_ns;
    }
    accounting::known_process(&call, thread);
    let answer = request::read(&call, result, counts, now_ns);
    let key = CallKey { slot: call.slot, device: call.device as u16, command: answer.command };
    count_duration(key, now_ns.wrapping_sub(call.begun_ns));
    if answer.status != 0 && answer.status != UNKNOWN_STATUS {
        count_failure(&call, answer.command, answer.status);
    }
    accounting::note(&call, thread, &answer, counts, now_ns);
    Some(())
}

#[inline(always)]
fn count_duration(key: CallKey, duration_ns: u64) -> Option<()> {
    let calls = match NVIDIA_CALLS.get_ptr_mut(&key) {
        Some(calls) => calls,
        None => {
            let none = NVIDIA_NO_CALLS.get(0)?;
            // Another CPU may have inserted the entry first; only if the map is full is there no entry afterwards.
            let _ = NVIDIA_CALLS.insert(&key, none, u64::from(BPF_NOEXIST));
            let Some(calls) = NVIDIA_CALLS.get_ptr_mut(&key) else {
                lost::count(Lost::NvidiaCommands);
                return None;
            };
            calls
        }
    };
    let bucket = histogram::bucket(duration_ns);
    if bucket >= histogram::BUCKETS {
        return None;
    }
    // SAFETY: a map element, and the index was just checked.
    unsafe {
        add(&raw mut (*calls).sum_ns, duration_ns);
        add((&raw mut (*calls).buckets).cast::<u64>().add(bucket), 1);
    }
    Some(())
}

#[inline(always)]
fn count_failure(call: &CallInFlight, command: u16, status: u32) -> Option<()> {
    let key = FailureKey { slot: call.slot, device: call.device as u16, command, status, unused: 0 };
    if NVIDIA_FAILURES.get_ptr_mut(&key).is_none() {
        // As in `count_duration`.
        let _ = NVIDIA_FAILURES.insert(&key, &0, u64::from(BPF_NOEXIST));
    }
    let Some(count) = NVIDIA_FAILURES.get_ptr_mut(&key) else {
        lost::count(Lost::NvidiaCommands);
        return None;
    };
    // SAFETY: a map element.
    unsafe { add(count, 1) };
    Some(())
}
