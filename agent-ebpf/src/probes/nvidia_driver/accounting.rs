//! Accounts for the effects of a call: memory, contexts, channels, events and the phases of a cold start.

use aya_ebpf::helpers::bpf_get_current_task;
use glassbox_ebpf::nvidia_driver::{
    AllocationKey, CONTEXT_GAP_NS, CallInFlight, DriverProcess, DriverSlot, INSUFFICIENT_RESOURCES,
    LARGE_ALLOCATION_BYTES, LOADING_GAP_NS, NO_MEMORY,
    commands::{
        ALLOC, EVENT, MEMORY_PINNED, MEMORY_SYSTEM, MEMORY_VIDEO, RM_ALLOC, RM_ALLOC_MEMORY, RM_FREE,
        RM_VID_HEAP_CONTROL, UVM_REGISTER_CHANNEL, UVM_REGISTER_GPU_VASPACE, UVM_UNREGISTER_CHANNEL,
        class_group,
    },
    device,
};

use super::{NVIDIA_ALLOCATIONS, NVIDIA_PROCESSES, request::Answer};
use crate::{
    frozen::offset,
    read::{add, kernel, user},
};

/// Functions of `RM_VID_HEAP_CONTROL` (nvos.h, `NVOS32_FUNCTION_*`).
const ALLOC_SIZE: u32 = 2;
const FREE: u32 = 3;
const ALLOC_SIZE_RANGE: u32 = 14;
const ALLOC_OS_DESCRIPTOR: u32 = 27;
/// `NVOS32_ALLOC_FLAGS_VIRTUAL`: reserves addresses, not memory.
const VIRTUAL: u32 = 0x0008_0000;

/// The memory that an allocation is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Gpu,
    Host,
}

/// Stores the process of a call, with the time of its first call.
#[inline(always)]
pub(super) fn known_process(call: &CallInFlight, thread: u64) {
    let process = (thread >> 32) as u32;
    if NVIDIA_PROCESSES.get_ptr_mut(&process).is_none() {
        enter_process(process, call.begun_ns);
    }
}

#[inline(always)]
fn enter_process(process: u32, opened_ns: u64) {
    let known = DriverProcess {
        started_ns: started_ns().unwrap_or(opened_ns),
        opened_ns,
        failures: 0,
        failed_bytes: 0,
    };
    // If the map is full, the least recently used entry is evicted.
    let _ = NVIDIA_PROCESSES.insert(&process, &known, 0);
}

/// The first thread of the current process.
#[inline(always)]
fn leader() -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    kernel(task, offset!(task_group_leader))
}

/// Start time of the current process.
#[inline(always)]
fn started_ns() -> Option<u64> {
    kernel(leader()?, offset!(task_start_time))
}

/// Name of the current process.
#[inline(always)]
fn name() -> Option<[u64; 2]> {
    kernel(leader()?, offset!(task_comm))
}

#[inline(always)]
pub(super) fn note(call: &CallInFlight, thread: u64, answer: &Answer, counts: *mut DriverSlot, now_ns: u64) {
    let status = answer.status;
    let process = (thread >> 32) as u32;
    if call.device == device::UVM {
        if status == 0 {
            // SAFETY: `counts` is a map element.
            unsafe { note_uvm(process, answer.number, counts, now_ns) };
        }
        return;
    }
    match answer.number {
        RM_ALLOC => note_alloc(call, process, status, answer, counts, now_ns),
        RM_VID_HEAP_CONTROL => {
            let _ = note_heap(process, status, answer.argument, counts, now_ns);
        }
        RM_ALLOC_MEMORY => {
            let _ = note_pinned(status, answer.argument, counts);
        }
        RM_FREE if status == 0 => {
            // The structure begins with client, parent and object.
            if let Some([client, _, object]) = user::<[u32; 3]>(answer.argument) {
                freed(process, client, object, counts);
            }
        }
        _ => {}
    }
}

#[inline(always)]
unsafe fn note_uvm(process: u32, command: u32, counts: *mut DriverSlot, now_ns: u64) {
    // SAFETY: guaranteed by the caller. If several processes of a container start at the same time, the last one
    // overwrites the fields of the cold start. A mixture of two starts is replaced when the next context is created.
    unsafe {
        if command == UVM_REGISTER_GPU_VASPACE {
            add(&raw mut (*counts).counters.contexts, 1);
            if (*counts).cold_process != u64::from(process)
                && let Some(known) = NVIDIA_PROCESSES.get_ptr_mut(&process)
            {
                (*counts).cold_process = u64::from(process);
                (*counts).cold_started_ns = (*known).started_ns;
                (*counts).cold_opened_ns = (*known).opened_ns;
                (*counts).cold_context_ns = now_ns;
                (*counts).cold_allocated_ns = 0;
                (*counts).cold_settled = 0;
                let [first, second] = name().unwrap_or([0; 2]);
                (*counts).cold_name[0] = first;
                (*counts).cold_name[1] = second;
            }
        } else if command == UVM_REGISTER_CHANNEL {
            add(&raw mut (*counts).counters.channels, 1);
            let since = now_ns.wrapping_sub((*counts).cold_context_ns);
            let making = (*counts).cold_process == u64::from(process) && (*counts).cold_settled == 0;
            if making && since < CONTEXT_GAP_NS {
                (*counts).cold_context_ns = now_ns;
            }
        } else if command == UVM_UNREGISTER_CHANNEL && (*counts).cold_process == u64::from(process) {
            (*counts).cold_settled = 1;
        }
    }
}

#[inline(always)]
fn note_alloc(
    call: &CallInFlight,
    process: u32,
    status: u32,
    answer: &Answer,
    counts: *mut DriverSlot,
    now_ns: u64,
) {
    let [client, _, object, class] = answer.head;
    let group = answer.command & !ALLOC;
    if group == EVENT && status == 0 {
        // SAFETY: a map element.
        unsafe { add(&raw mut (*counts).counters.events, 1) };
    }
    if class == 0 || class == 1 || class == 0x41 {
        // The first object that a process allocates. The entry may be that of an earlier process with the same ID.
        if let Some(known) = NVIDIA_PROCESSES.get_ptr_mut(&process) {
            // SAFETY: a map element.
            if started_ns().is_some_and(|started_ns| started_ns != unsafe { (*known).started_ns }) {
                enter_process(process, call.begun_ns);
            }
        }
    }
    let place = match group {
        MEMORY_VIDEO => Place::Gpu,
        MEMORY_SYSTEM => Place::Host,
        _ => return,
    };
    // NV_MEMORY_ALLOCATION_PARAMS.size, as rounded by the driver.
    let size =
        user::<u64>(answer.argument + 16).and_then(|parameters| user::<u64>(parameters + 64)).unwrap_or(0);
    settle(process, status, place, Object { client, object, size }, counts, now_ns);
}

#[inline(always)]
fn note_heap(process: u32, status: u32, argument: u64, counts: *mut DriverSlot, now_ns: u64) -> Option<()> {
    let function: u32 = user(argument + 8)?;
    let client: u32 = user(argument)?;
    match function {
        ALLOC_SIZE | ALLOC_SIZE_RANGE => {
            let object: u32 = user(argument + 44)?;
            let [flags, attributes] = user::<[u32; 2]>(argument + 52)?;
            if flags & VIRTUAL != 0 {
                return None;
            }
            let size = user(argument + if function == ALLOC_SIZE { 88 } else { 80 })?;
            // NVOS32_ATTR_LOCATION, bits 26:25: 0 is GPU memory.
            let place = if (attributes >> 25) & 3 == 0 { Place::Gpu } else { Place::Host };
            settle(process, status, place, Object { client, object, size }, counts, now_ns);
        }
        FREE if status == 0 => freed(process, client, user(argument + 44)?, counts),
        ALLOC_OS_DESCRIPTOR if status == 0 => {
            let limit: u64 = user(argument + 72)?;
            // SAFETY: a map element.
            unsafe { add(&raw mut (*counts).counters.pinned_bytes, limit.wrapping_add(1)) };
        }
        _ => {}
    }
    Some(())
}

/// `RM_ALLOC_MEMORY` with the class that pins the caller's pages. The class is at byte 12, and the offset of the last
/// pinned byte at byte 32.
#[inline(always)]
fn note_pinned(status: u32, argument: u64, counts: *mut DriverSlot) -> Option<()> {
    if class_group(user(argument + 12)?) != MEMORY_PINNED {
        return None;
    }
    let limit: u64 = user(argument + 32)?;
    // SAFETY: a map element.
    unsafe {
        match status {
            0 => add(&raw mut (*counts).counters.pinned_bytes, limit.wrapping_add(1)),
            NO_MEMORY => add(&raw mut (*counts).counters.failed_host_memory, 1),
            _ => {}
        }
    }
    Some(())
}

/// A memory object.
#[derive(Clone, Copy)]
struct Object {
    client: u32,
    object: u32,
    size: u64,
}

#[inline(always)]
fn settle(process: u32, status: u32, place: Place, object: Object, counts: *mut DriverSlot, now_ns: u64) {
    // SAFETY: `counts` is a map element.
    unsafe {
        match (status, place) {
            (0, Place::Gpu) => allocated(process, object, counts, now_ns),
            (NO_MEMORY, Place::Host) => add(&raw mut (*counts).counters.failed_host_memory, 1),
            (NO_MEMORY, Place::Gpu) => {
                add(&raw mut (*counts).counters.failed_no_memory, 1);
                (*counts).refused_ns = now_ns;
                refused(process, object.size);
            }
            (INSUFFICIENT_RESOURCES, Place::Gpu) => {
                add(&raw mut (*counts).counters.failed_insufficient_resources, 1);
                (*counts).refused_ns = now_ns;
                refused(process, object.size);
            }
            _ => {}
        }
    }
}

#[inline(always)]
fn refused(process: u32, size: u64) {
    if let Some(known) = NVIDIA_PROCESSES.get_ptr_mut(&process) {
        // SAFETY: a map element. If threads of one process race here, at most one recovery is lost.
        unsafe {
            (*known).failures += 1;
            if size > (*known).failed_bytes {
                (*known).failed_bytes = size;
            }
        }
    }
}

/// # Safety
/// `counts` must be a map element.
#[inline(always)]
unsafe fn allocated(process: u32, object: Object, counts: *mut DriverSlot, now_ns: u64) {
    let Object { client, object, size } = object;
    // SAFETY: guaranteed by the caller; `known` is a map element.
    unsafe {
        add(&raw mut (*counts).counters.allocations, 1);
        add(&raw mut (*counts).counters.allocated_bytes, size);
        (*counts).granted_ns = now_ns;
        if let Some(known) = NVIDIA_PROCESSES.get_ptr_mut(&process)
            && (*known).failures != 0
            && size >= (*known).failed_bytes
        {
            add(&raw mut (*counts).counters.recovered, (*known).failures);
            (*known).failures = 0;
            (*known).failed_bytes = 0;
        }
        if size >= LARGE_ALLOCATION_BYTES && (*counts).cold_process == u64::from(process) {
            let last_ns = (*counts).cold_allocated_ns.max((*counts).cold_context_ns);
            if now_ns.wrapping_sub(last_ns) < LOADING_GAP_NS {
                (*counts).cold_allocated_ns = now_ns;
            }
        }
    }
    // If the map is full, the least recently used entry is evicted, and its bytes never count as freed.
    let _ = NVIDIA_ALLOCATIONS.insert(&AllocationKey { process, client, object, unused: 0 }, &size, 0);
}

#[inline(always)]
fn freed(process: u32, client: u32, object: u32, counts: *mut DriverSlot) {
    let key = AllocationKey { process, client, object, unused: 0 };
    // SAFETY: read in one instruction; only threads of this process remove the entry.
    let Some(&size) = (unsafe { NVIDIA_ALLOCATIONS.get(&key) }) else { return };
    if NVIDIA_ALLOCATIONS.remove(&key).is_ok() {
        // SAFETY: a map element.
        unsafe { add(&raw mut (*counts).counters.freed_bytes, size) };
    }
}
