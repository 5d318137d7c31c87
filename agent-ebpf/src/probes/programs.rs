//! Processes of containers that run one of a few listed programs, such as ffmpeg: how many started and ended, how, and
//! how long they took.
//!
//! Hooks: tp_btf `sched_process_exec` and `sched_process_exit` (5.5), so a process that takes a millisecond counts like
//! any other.
//!
//! **Start.** The kernel has set the task's name to that of the executed file when it reports the exec, and the process
//! has one thread, whose ID is that of the process, even if another thread has called exec. The program is recorded
//! then, because a process can change its name later (`prctl`). A fork that does not exec is not counted.
//!
//! **End.** The kernel reports the exit of each thread, and decrements `signal->live` before, so the process has ended
//! if that is 0. If two threads exit at the same time, both may see 0; only the one that removes the entry counts. The
//! first thread of a process may exit before the others; that is not the end. Nor is exec, which kills all other
//! threads: the one that called it lives. The status is that of wait(2) (`wait_task_zombie`): `signal->group_exit_code`
//! with SIGNAL_GROUP_EXIT, which exit_group and fatal signals set, else what the first thread passed to exit(2). From
//! 6.0 on the last thread that calls exit(2) sets both. The second argument of the tracepoint (6.16), whether the
//! process has ended, is not needed.
//!
//! **Another exec** ends the program of the process as `replaced`, except if the new program has the same name: a script
//! named ffmpeg that executes another ffmpeg is one process of ffmpeg.
//!
//! Cost, by the kernel's statistics of the programs, which cause some 30 ns of each run (6.18, a busy machine): 0.5 µs per
//! exec on the host, 1.1 µs if the program is listed; 70 ns per exit of a thread, 0.2 µs of a process, 0.8 µs of one that
//! runs a listed program. Starting a process takes some hundred times as long.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map},
    maps::{Array, HashMap},
    programs::BtfTracePointContext,
};
use glassbox_ebpf::{
    Lost,
    container_programs::{
        PROGRAMS_MAX, ProgramCounters, ProgramName, RUNS, RUNS_PER_CONTAINER, Run, SIGNAL_GROUP_EXIT,
        SlotPrograms, result, result_of,
    },
    containers::SHARED_SLOT,
};

use super::containers::slot_of_task;
use crate::{
    frozen::{PROGRAM_NAMES, offset},
    lost,
    read::{add, present},
};

/// Resized by user space to the configured number of containers.
#[map]
static PROGRAMS: Array<SlotPrograms> = Array::with_max_entries(256, 0);
/// By process ID. Only the kernel adds entries.
#[map]
static PROGRAM_RUNS: HashMap<u32, Run> = HashMap::with_max_entries(RUNS, 0);

/// See [`listed`].
const NOT_LISTED: u32 = PROGRAMS_MAX as u32;
/// Words of a [`ProgramName`].
const NAME_WORDS: usize = 4;

/// The position in the list of the program that a task has just executed, or [`NOT_LISTED`]. Not an `Option`, of which
/// the compiler would copy an undefined value, which the verifier rejects.
#[inline(always)]
fn listed(task: *const u8) -> u32 {
    let comm = [present(task, offset!(task_comm)), present(task, offset!(task_comm) + 8)];
    let words = (&raw const PROGRAM_NAMES).cast::<u64>();
    let mut program = 0;
    while program < PROGRAMS_MAX {
        // SAFETY: the words of an entry of a static that is not written while programs run.
        let word = |index| unsafe { words.add(program * NAME_WORDS + index).read_volatile() };
        let name = ProgramName { words: [word(0), word(1)], mask: [word(2), word(3)] };
        if name.matches(comm) {
            return program as u32;
        }
        program += 1;
    }
    NOT_LISTED
}

#[btf_tracepoint(function = "sched_process_exec")]
fn programs_exec(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let process: u32 = present(task, offset!(task_tgid));
    let program = listed(task);
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(run) = PROGRAM_RUNS.get_ptr(&process) {
        // SAFETY: a map element; only this process changes it.
        let run = unsafe { *run };
        if program == run.program {
            return 0;
        }
        ended(process, &run, now_ns, result::REPLACED);
    }
    if program != NOT_LISTED {
        started(task, process, program, now_ns);
    }
    0
}

#[inline(always)]
fn started(task: *const u8, process: u32, program: u32, now_ns: u64) -> Option<()> {
    let slot = slot_of_task(task);
    if slot == SHARED_SLOT {
        return None;
    }
    let counts = PROGRAMS.get_ptr_mut(slot)?;
    // SAFETY: a member of a map element, read in one instruction. Processes that start on several CPUs at the same time
    // may exceed the limit.
    let entries = unsafe { (&raw const (*counts).entries).read_volatile() };
    let run = Run { slot, program, started_ns: now_ns };
    if entries >= RUNS_PER_CONTAINER || PROGRAM_RUNS.insert(&process, &run, 0).is_err() {
        lost::count(Lost::ProgramRuns);
        return None;
    }
    let counters = counters(counts, program)?;
    // SAFETY: members of a map element.
    unsafe {
        add((&raw mut (*counts).entries).cast(), 1);
        add(&raw mut (*counters).started, 1);
    }
    Some(())
}

#[btf_tracepoint(function = "sched_process_exit")]
fn programs_exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let signal: *const u8 = present(task, offset!(task_signal));
    if present::<u32>(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    let process: u32 = present(task, offset!(task_tgid));
    let Some(run) = PROGRAM_RUNS.get_ptr(&process) else { return 0 };
    // SAFETY: a map element. If another thread of this process removes it now, another process may reuse the element,
    // but then `ended` does not count what was read.
    let run = unsafe { *run };
    let status: u32 = if present::<u32>(signal, offset!(signal_flags)) & SIGNAL_GROUP_EXIT != 0 {
        present(signal, offset!(signal_group_exit_code))
    } else {
        let first: *const u8 = present(task, offset!(task_group_leader));
        present(first, offset!(task_exit_code))
    };
    // SAFETY: the helper has no preconditions.
    ended(process, &run, unsafe { bpf_ktime_get_ns() }, result_of(status));
    0
}

#[inline(always)]
fn ended(process: u32, run: &Run, now_ns: u64, result: usize) -> Option<()> {
    if PROGRAM_RUNS.remove(&process).is_err() {
        return None;
    }
    let counts = PROGRAMS.get_ptr_mut(run.slot)?;
    let counters = counters(counts, run.program)?;
    if result >= result::COUNT {
        return None;
    }
    // SAFETY: members of a map element; `result` was just checked.
    unsafe {
        add((&raw mut (*counts).entries).cast(), u64::MAX);
        add(&raw mut (*counters).ended_ns, now_ns.wrapping_sub(run.started_ns));
        add((&raw mut (*counters).exits).cast::<u64>().add(result), 1);
    }
    Some(())
}

#[inline(always)]
fn counters(counts: *mut SlotPrograms, program: u32) -> Option<*mut ProgramCounters> {
    let program = program as usize;
    if program >= PROGRAMS_MAX {
        return None;
    }
    // SAFETY: within the array: `program` was just checked, and the verifier sees the check.
    Some(unsafe { (&raw mut (*counts).programs).cast::<ProgramCounters>().add(program) })
}
