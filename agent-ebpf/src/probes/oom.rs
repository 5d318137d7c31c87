//! OOM kills per container.
//!
//! Hook: the tracepoint `oom:mark_victim`, which identifies the victim. The current process is the one that requested
//! the memory, and it may be in another container.
//!
//! Main method (6.8, and stable releases from early 2024 on): the tracepoint's argument is the victim's task. The
//! kernel may mark several threads of one victim while the victim dies. The start time of the process identifies the
//! victim, so that it is counted once.
//!
//! Fallback method (5.5): the only stable part of the tracepoint's record is a thread ID. Just before, the OOM killer
//! has sent SIGKILL to that thread, and the task is an argument of `signal:signal_generate`. That program notes the
//! slot, and the program on `mark_victim` counts it. A process that was already dying is marked without a signal and
//! does not count as a kill.
//!
//! Cost: the main method runs only when memory has run out. The fallback method checks two arguments of each signal on
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
/// Main method: the start time of the process that was counted last. Fallback method: a thread ID and its slot.
#[map]
static OOM_VICTIMS: Array<u64> = Array::with_max_entries(VICTIMS, 0);

/// Position of the slot in a note of the fallback method. The lower bits are the thread ID.
const SLOT_SHIFT: u32 = 32;
/// Offset of the thread ID in the tracepoint's record, where it is the first field in all kernels.
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
        // SAFETY: a map element, with one writer at a time under oom_lock. Volatile, so that the compiler keeps the
        // order of the writes to the two counters.
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
        // SAFETY: a map element, written in one instruction. Another kill by the kernel at the same moment may
        // overwrite the entry. The slot's count then misses one kill, but the count in the cgroup file does not.
        unsafe { *note = u64::from(slot) << SLOT_SHIFT | u64::from(pid) };
    }
    0
}

#[tracepoint]
fn oom_victim_pid(ctx: TracePointContext) -> u32 {
    // SAFETY: the offset is within the record in all kernels that have the tracepoint.
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
