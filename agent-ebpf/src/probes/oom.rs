//! Processes that the kernel killed because memory ran out, per container.
//!
//! Hook: the tracepoint `oom:mark_victim`, which names the victim; the process that asked for the memory, which is the
//! current one, may be in another container.
//!
//! Main method (6.8, and stable releases of early 2024 on): the tracepoint gives the victim's task. Threads of one victim
//! may be marked one after the other while it dies; it is counted once, by its process' time of start.
//!
//! Second method (5.5): what is stable of the tracepoint is a thread's id. Right before, the OOM killer has sent that
//! thread SIGKILL, and `signal:signal_generate` gives the task: the slot is noted there and counted here. A process that
//! was dying anyway is marked without a signal and is no kill.
//!
//! Cost: the first method runs when memory ran out and never else. The second looks at two arguments of each signal on
//! the host.

use aya_ebpf::{
    macros::{btf_tracepoint, map, tracepoint},
    maps::Array,
    programs::{BtfTracePointContext, TracePointContext},
};
use glassbox_ebpf::{
    containers::SHARED_SLOT,
    oom::{BY_THE_KERNEL, SIGKILL, VICTIMS},
};

use super::containers::slot_of_task;
use crate::{frozen::offset, read::present};

/// Resized by user space to the configured number of containers.
#[map]
static OOM_KILLS: Array<u64> = Array::with_max_entries(256, 0);
/// Main method: the start of the process last counted. Second method: a thread's id and the slot it counts for.
#[map]
static OOM_VICTIMS: Array<u64> = Array::with_max_entries(VICTIMS, 0);

/// Where the slot is in a note of the second method, above the thread's id.
const SLOT_SHIFT: u32 = 32;
/// Where the thread's id is in the tracepoint's record: its first field in every kernel.
const RECORD_PID: usize = 8;

#[inline(always)]
fn count(slot: u32) {
    if slot != SHARED_SLOT {
        add_one(slot);
    }
    add_one(SHARED_SLOT);
}

#[inline(always)]
fn add_one(slot: u32) {
    if let Some(kills) = OOM_KILLS.get_ptr_mut(slot) {
        // SAFETY: a map element, with one writer at a time under oom_lock; volatile, so that the two counters are
        // written in this order.
        unsafe { kills.write_volatile(kills.read_volatile() + 1) };
    }
}

#[btf_tracepoint(function = "mark_victim")]
fn oom_victim(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let tgid: u32 = present(task, offset!(task_tgid));
    let leader: *const u8 = present(task, offset!(task_group_leader));
    let started_ns: u64 = present(leader, offset!(task_start_time));
    if let Some(last) = OOM_VICTIMS.get_ptr_mut(tgid & (VICTIMS - 1)) {
        // SAFETY: a map element, with one writer at a time under oom_lock.
        unsafe {
            if *last == started_ns {
                return 0;
            }
            *last = started_ns;
        }
    }
    count(slot_of_task(task));
    0
}

#[btf_tracepoint(function = "signal_generate")]
fn oom_signal(ctx: BtfTracePointContext) -> i32 {
    let signal: u64 = ctx.arg(0);
    let origin: u64 = ctx.arg(1);
    if signal as u32 as u64 != SIGKILL || origin != BY_THE_KERNEL {
        return 0;
    }
    let task: *const u8 = ctx.arg(2);
    let pid: u32 = present(task, offset!(task_pid));
    if let Some(note) = OOM_VICTIMS.get_ptr_mut(pid & (VICTIMS - 1)) {
        let slot = slot_of_task(task);
        // SAFETY: a map element, written at once. Another kill of the kernel's at the same moment may take the entry:
        // the slot's count misses one then, and the file's does not.
        unsafe { *note = u64::from(slot) << SLOT_SHIFT | u64::from(pid) };
    }
    0
}

#[tracepoint]
fn oom_victim_pid(ctx: TracePointContext) -> u32 {
    // SAFETY: within the record of every kernel that has the tracepoint.
    let Ok(pid) = (unsafe { ctx.read_at::<u32>(RECORD_PID) }) else {
        return 0;
    };
    let mut slot = SHARED_SLOT;
    if let Some(note) = OOM_VICTIMS.get_ptr_mut(pid & (VICTIMS - 1)) {
        // SAFETY: a map element; read and cleared by one CPU at a time under oom_lock.
        unsafe {
            if *note as u32 == pid {
                slot = (*note >> SLOT_SHIFT) as u32;
                *note = 0;
            }
        }
    }
    count(slot);
    0
}
