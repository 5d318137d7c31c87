//! OOM kills per container.
//!
//! Hooks: the tracepoint `oom:mark_victim`. Its argument is the victim's thread ID, or its task in newer kernels. The
//! program is attached as a raw tracepoint, because a perf event needs CAP_SYS_ADMIN on Debian and Ubuntu. The current
//! process is the one that requested the memory, and it may be in another container. Just before, the OOM killer has sent
//! SIGKILL to that thread, and the task is an argument of `signal_generate`. The program there notes the slot, and the
//! program on `mark_victim` counts it. Linux 5.5.
//!
//! The kernel also marks processes that it does not kill: those that are dying anyway, for example by `docker kill`, when
//! memory runs out meanwhile (`task_will_free_mem`). They are marked without a signal, and `memory.events` does not count them
//! either. The kernel kills for other reasons, too, such as the end of a PID namespace. Therefore a note counts only for the
//! thread that sent the signal: the OOM killer sends and marks in one thread.
//!
//! Cost: the check of two arguments of each signal on the host; all else only when the kernel kills.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::Array,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use glassbox_ebpf::{
    containers::SHARED_SLOT,
    oom::{BY_THE_KERNEL, SIGKILL, SLOT_SHIFT, VICTIMS, victim_note},
};

use super::containers::slot_of_task;
use crate::{
    frozen::offset,
    read::{kernel, present},
};

/// Resized by user space to the configured number of containers.
#[map]
static OOM_KILLS: Array<u64> = Array::with_max_entries(256, 0);
/// The last process that each thread has killed for the kernel: [`victim_note`], direct-mapped by the thread.
#[map]
static OOM_VICTIMS: Array<u64> = Array::with_max_entries(VICTIMS, 0);

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

#[btf_tracepoint(function = "signal_generate")]
fn oom_signal(ctx: BtfTracePointContext) -> i32 {
    let signal: u64 = ctx.arg(0);
    let origin: u64 = ctx.arg(1);
    if signal as u32 as u64 != SIGKILL || origin != BY_THE_KERNEL {
        return 0;
    }
    let task: *const u8 = ctx.arg(2);
    let pid: u32 = present(task, offset!(task_pid));
    let sender = bpf_get_current_pid_tgid() as u32;
    if let Some(note) = OOM_VICTIMS.get_ptr_mut(sender & (VICTIMS - 1)) {
        let slot = slot_of_task(task);
        // SAFETY: a map element, written in one instruction. Another thread with the same entry may overwrite it. The slot's
        // count then misses one kill, but the count in the cgroup file does not.
        unsafe { *note = victim_note(slot, sender, pid) };
    }
    0
}

#[raw_tracepoint]
fn oom_victim(ctx: RawTracePointContext) -> i32 {
    let victim: u64 = ctx.arg(0);
    // Kernel addresses are in the upper half.
    let pid = if victim >> 63 == 0 {
        victim as u32
    } else {
        let Some(pid) = kernel(victim, offset!(task_pid)) else { return 0 };
        pid
    };
    let sender = bpf_get_current_pid_tgid() as u32;
    let mut slot = SHARED_SLOT;
    if let Some(note) = OOM_VICTIMS.get_ptr_mut(sender & (VICTIMS - 1)) {
        // SAFETY: a map element; read and cleared by one CPU at a time under oom_lock.
        unsafe {
            let noted = *note;
            if noted == victim_note((noted >> SLOT_SHIFT) as u32, sender, pid) {
                slot = (noted >> SLOT_SHIFT) as u32;
                *note = 0;
            }
        }
    }
    count(slot);
    0
}
