//! Run-queue latency, on-CPU time and context switches per container.
//!
//! Main method, one hook: tp_btf `sched_switch` (5.5). The kernel has already recorded when `next` was queued
//! (`sched_info.last_queued`) and the current time (`rq->clock`), so the wait is a subtraction: no wakeup hook, no map
//! of timestamps, no helper call. When the load balancer moves a waiting task, the kernel adds the wait so far to
//! `run_delay` and restarts `last_queued`. The direct-mapped array stores `run_delay` as of the last switch-out, so
//! that the part of the wait before the move is counted, too.
//!
//! Fallback method, for kernels without CONFIG_SCHED_INFO or CONFIG_FAIR_GROUP_SCHED: tp_btf `sched_wakeup`,
//! `sched_wakeup_new` and `sched_switch`, with the times stored in the same array.
//!
//! Costs: docs/overhead.md.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map},
    maps::{Array, PerCpuArray},
    programs::BtfTracePointContext,
};
use glassbox_ebpf::{
    Lost, histogram,
    scheduler::{SchedulerCounters, WAIT_ENTRIES, WaitEntry},
};

use super::containers::{ALIGNED, holder_of_cgroup, slot_of_task};
use crate::{
    frozen::{offset, setting},
    lost,
    read::present,
};

/// Resized by user space to the configured number of containers.
#[map]
static SCHEDULER: PerCpuArray<SchedulerCounters> = PerCpuArray::with_max_entries(256, 0);
#[map]
static SCHEDULER_WAITS: Array<WaitEntry> = Array::with_max_entries(WAIT_ENTRIES, ALIGNED);

/// A cached slot is used for at most 2^26 ns (67 ms). This limits how long a task is still counted for no container
/// after user space has found its cgroup, and how long a wrong cached slot stays in use.
const EPOCH_SHIFT: u32 = 26;
/// Bits in the largest thread ID that Linux assigns.
const PID_BITS: u32 = 22;
/// Bits in the largest slot.
const SLOT_BITS: u32 = 16;

#[btf_tracepoint(function = "sched_switch")]
fn scheduler_sched_switch(ctx: BtfTracePointContext) -> i32 {
    let preempted: u64 = ctx.arg(0);
    let prev: *const u8 = ctx.arg(1);
    let next: *const u8 = ctx.arg(2);
    let now_ns = clock_ns(next);
    left_cpu(prev, preempted as u8 != 0, now_ns);
    got_cpu(next, now_ns);
    0
}

/// The clock of the run queue that a task is in. The switch has just updated it.
#[inline(always)]
fn clock_ns(task: *const u8) -> u64 {
    let cfs_rq: *const u8 = present(task, offset!(task_cfs_rq));
    let rq: *const u8 = present(cfs_rq, offset!(cfs_rq_rq));
    present(rq, offset!(rq_clock))
}

/// The thread ID; `None` for the idle task of a CPU and for the agent's own threads.
#[inline(always)]
fn counted_pid(task: *const u8) -> Option<u32> {
    let pid: u32 = present(task, offset!(task_pid));
    if pid == 0 || present::<u32>(task, offset!(task_tgid)) == setting!(agent_tgid) {
        return None;
    }
    Some(pid)
}

#[inline(always)]
fn wait_entry(pid: u32) -> Option<*mut WaitEntry> {
    SCHEDULER_WAITS.get_ptr_mut(pid & setting!(wait_mask))
}

/// The slot of a task, cached in its entry or looked up.
///
/// One word contains the slot and the thread and epoch that it was looked up for. Two threads with colliding IDs may
/// write the same entry at the same time, but neither can use the other's slot: the thread must match in that word, and
/// the address of the object that refers to its cgroup must match in the other word.
#[inline(always)]
fn slot(task: *const u8, pid: u32, entry: *mut WaitEntry, now_ns: u64) -> u32 {
    let holder = holder_of_cgroup(task) as u64;
    let tag = (((now_ns >> EPOCH_SHIFT) << PID_BITS) | u64::from(pid)) << SLOT_BITS;
    // SAFETY: a map element; each word is read and written in one instruction.
    unsafe {
        let known = (*entry).slot;
        if (*entry).cgroup == holder && (known ^ tag) >> SLOT_BITS == 0 {
            return known as u16 as u32;
        }
        let slot = slot_of_task(task);
        (*entry).cgroup = holder;
        (*entry).slot = tag | u64::from(slot);
        slot
    }
}

#[inline(always)]
fn left_cpu(task: *const u8, preempted: bool, now_ns: u64) -> Option<()> {
    let pid = counted_pid(task)?;
    let entry = wait_entry(pid)?;
    let run_delay: u64 = present(task, offset!(task_run_delay));
    // SAFETY: a map element. Only the CPU that a task leaves writes its entry; the pid in the entry reveals a collision
    // of two pids.
    unsafe {
        (*entry).pid = u64::from(pid);
        (*entry).at_ns = run_delay;
    }
    let arrival: u64 = present(task, offset!(task_last_arrival));
    count_run(task, slot(task, pid, entry, now_ns), now_ns.wrapping_sub(arrival), preempted)
}

#[inline(always)]
fn got_cpu(task: *const u8, now_ns: u64) -> Option<()> {
    let pid = counted_pid(task)?;
    let queued: u64 = present(task, offset!(task_last_queued));
    if queued == 0 {
        lost::count(Lost::SchedulerUnqueued);
        return None;
    }
    let mut wait_ns = now_ns.wrapping_sub(queued);
    let entry = wait_entry(pid)?;
    let run_delay: u64 = present(task, offset!(task_run_delay));
    if run_delay != 0 {
        // SAFETY: a map element; see `left_cpu`.
        let (tag, before) = unsafe { ((*entry).pid, (*entry).at_ns) };
        if tag == u64::from(pid) && run_delay >= before {
            wait_ns = wait_ns.wrapping_add(run_delay - before);
        } else {
            lost::count(Lost::SchedulerWaits);
        }
    }
    count_wait(slot(task, pid, entry, now_ns), wait_ns)
}

#[inline(always)]
fn count_run(task: *const u8, slot: u32, oncpu_ns: u64, preempted: bool) -> Option<()> {
    // `__state` is a u32 and `state` was a long: the low half of both is 0 if the task is runnable.
    let state: u32 = present(task, offset!(task_state));
    let counts = SCHEDULER.get_ptr_mut(slot)?;
    // If the clocks of two CPUs differ, the time may be negative. As an unsigned number, it would add centuries.
    let oncpu_ns = if (oncpu_ns as i64) < 0 { 0 } else { oncpu_ns };
    // SAFETY: the element belongs to this CPU, and a switch is never interrupted by another.
    unsafe {
        (*counts).oncpu_ns += oncpu_ns;
        if preempted || state == 0 {
            (*counts).involuntary_switches += 1;
        } else {
            (*counts).voluntary_switches += 1;
        }
    }
    Some(())
}

#[inline(always)]
fn count_wait(slot: u32, wait_ns: u64) -> Option<()> {
    let counts = SCHEDULER.get_ptr_mut(slot)?;
    let wait_ns = if (wait_ns as i64) < 0 { 0 } else { wait_ns };
    let bucket = histogram::bucket(wait_ns);
    if bucket >= histogram::BUCKETS {
        return None;
    }
    // SAFETY: the element belongs to this CPU, and a switch is never interrupted by another. `bucket` was just checked,
    // and the verifier sees the check. A checked index would add a panic path to the program.
    unsafe {
        (*counts).waits.sum_ns += wait_ns;
        let counter = (&raw mut (*counts).waits.buckets).cast::<u64>().add(bucket);
        *counter += 1;
    }
    Some(())
}

#[btf_tracepoint(function = "sched_switch")]
fn scheduler_fallback_switch(ctx: BtfTracePointContext) -> i32 {
    let preempted: u64 = ctx.arg(0);
    let prev: *const u8 = ctx.arg(1);
    let next: *const u8 = ctx.arg(2);
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    fallback_left_cpu(prev, preempted as u8 != 0, now_ns);
    fallback_got_cpu(next, now_ns);
    0
}

#[inline(always)]
fn fallback_left_cpu(task: *const u8, preempted: bool, now_ns: u64) -> Option<()> {
    let pid = counted_pid(task)?;
    let state: u32 = present(task, offset!(task_state));
    let entry = wait_entry(pid)?;
    // SAFETY: a map element; the pid in the entry reveals a collision of two pids.
    let arrival = unsafe {
        let known = (*entry).pid == u64::from(pid);
        let arrival = if known { (*entry).arrival_ns } else { 0 };
        (*entry).pid = u64::from(pid);
        // A task that is still runnable is queued again immediately.
        (*entry).at_ns = if preempted || state == 0 { now_ns } else { 0 };
        (*entry).arrival_ns = 0;
        arrival
    };
    let oncpu_ns = if arrival == 0 { 0 } else { now_ns - arrival };
    count_run(task, slot(task, pid, entry, now_ns), oncpu_ns, preempted)
}

#[inline(always)]
fn fallback_got_cpu(task: *const u8, now_ns: u64) -> Option<()> {
    let pid = counted_pid(task)?;
    let entry = wait_entry(pid)?;
    // SAFETY: as above.
    let queued = unsafe {
        let queued = if (*entry).pid == u64::from(pid) { (*entry).at_ns } else { 0 };
        (*entry).pid = u64::from(pid);
        (*entry).at_ns = 0;
        (*entry).arrival_ns = now_ns;
        queued
    };
    if queued == 0 {
        lost::count(Lost::SchedulerUnqueued);
        return None;
    }
    count_wait(slot(task, pid, entry, now_ns), now_ns.wrapping_sub(queued))
}

#[btf_tracepoint(function = "sched_wakeup")]
fn scheduler_fallback_wakeup(ctx: BtfTracePointContext) -> i32 {
    fallback_woken(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
fn scheduler_fallback_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    fallback_woken(ctx.arg(0));
    0
}

#[inline(always)]
fn fallback_woken(task: *const u8) -> Option<()> {
    let pid = counted_pid(task)?;
    let entry = wait_entry(pid)?;
    // SAFETY: as above.
    unsafe {
        // If the task is on a CPU (it has not gone to sleep yet), the wakeup does not queue it.
        if (*entry).pid == u64::from(pid) && (*entry).arrival_ns != 0 {
            return None;
        }
        (*entry).pid = u64::from(pid);
        (*entry).at_ns = bpf_ktime_get_ns();
        (*entry).arrival_ns = 0;
    }
    Some(())
}
