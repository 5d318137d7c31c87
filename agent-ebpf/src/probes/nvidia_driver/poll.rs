//! Waits in poll(2) and select(2) on the driver's devices. CUDA waits for a GPU in this way if blocking synchronization
//! is requested.
//!
//! One hook, only in the kprobe method: `nvidia_poll(struct file *, poll_table *)`. The kernel calls it once when a
//! wait begins, to register the thread for a wakeup, and once more without registration when the thread was woken or
//! the timeout has expired. With a timeout of 0 there is only a call without registration.
//!
//! epoll, io_uring and aio call the same function, but their tables do not belong to a sleeping thread, so their waits
//! are not measured. The table of poll(2) is the head of its `poll_wqueues`, which points to the thread and lists the
//! wait queues that the thread is registered with. An end belongs to the stored start only if the file is at the
//! position in this list at which the stored start registered it. Otherwise the end belongs to a start that was not
//! followed by a wait because another file was ready. The list within the structure has some nine entries. A device
//! that comes after as many others in one poll(2) is not measured. A wait with a spurious wakeup is counted in parts.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns},
    macros::{kprobe, map},
    maps::Array,
    programs::ProbeContext,
};
use glassbox_ebpf::{
    Lost,
    containers::SHARED_SLOT,
    nvidia_driver::{CallKey, POLLS_IN_FLIGHT, PollInFlight, commands::POLL},
};

use super::{super::containers::slot_of_current, count_duration, own_device};
use crate::{
    frozen::{offset, setting},
    lost,
    read::kernel,
};

#[map]
static NVIDIA_POLLS: Array<PollInFlight> = Array::with_max_entries(POLLS_IN_FLIGHT, 0);

#[kprobe]
fn nvidia_driver_poll(ctx: ProbeContext) -> u32 {
    if let (Some(file), Some(table)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1)) {
        polled(file, table);
    }
    0
}

#[inline(always)]
fn polled(file: u64, table: u64) -> Option<()> {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let waiter: u64 = kernel(table, offset!(poll_wqueues_polling_task))?;
    if waiter != task || (thread >> 32) as u32 == setting!(agent_tgid) {
        return None;
    }
    let slot = slot_of_current()?;
    if slot == SHARED_SLOT {
        return None;
    }
    let registered: u32 = kernel(table, offset!(poll_wqueues_inline_index))?;
    let register: u64 = kernel(table, offset!(poll_wqueues_qproc))?;
    let sleeps: u64 = kernel(task, offset!(task_nvcsw))?;
    let kept = NVIDIA_POLLS.get_ptr_mut(thread as u32 & (POLLS_IN_FLIGHT - 1))?;
    if register == 0 {
        let end = End { thread, file, table, registered, sleeps };
        return ended(&end, kept);
    }
    let device = own_device(file)?;
    // SAFETY: a map element. Two threads with colliding IDs may write the same entry. The thread in the entry is
    // compared when a wait ends.
    unsafe {
        (*kept).thread = thread;
        (*kept).sleeps = sleeps;
        (*kept).slot = slot;
        (*kept).device = device;
        (*kept).registered = registered;
        (*kept).begun_ns = bpf_ktime_get_ns();
    }
    Some(())
}

/// A call without registration.
struct End {
    thread: u64,
    file: u64,
    table: u64,
    registered: u32,
    sleeps: u64,
}

#[inline(always)]
fn ended(end: &End, kept: *mut PollInFlight) -> Option<()> {
    // SAFETY: a map element, of which only a copy is used.
    let wait = unsafe { *kept };
    if wait.thread != end.thread {
        if wait.thread != 0 && end.registered != 0 {
            lost::count(Lost::NvidiaPolls);
        }
        return None;
    }
    if end.registered <= wait.registered || end.sleeps == wait.sleeps {
        return None;
    }
    // The address is the last word of an entry.
    let entry_bytes = offset!(poll_table_entry_wait_address) + size_of::<u64>() as u32;
    let entries = end.table + u64::from(offset!(poll_wqueues_inline_entries));
    let entry = entries + u64::from(wait.registered) * u64::from(entry_bytes);
    if kernel::<u64>(entry, offset!(poll_table_entry_filp))? != end.file {
        return None;
    }
    // SAFETY: a map element. It is updated because the wait may continue.
    let now_ns = unsafe {
        let now_ns = bpf_ktime_get_ns();
        (*kept).begun_ns = now_ns;
        (*kept).sleeps = end.sleeps;
        now_ns
    };
    let key = CallKey { slot: wait.slot, device: wait.device as u16, command: POLL };
    count_duration(key, now_ns.wrapping_sub(wait.begun_ns))
}
