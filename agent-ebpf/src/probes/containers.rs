//! Container start and exit events, and the lookup of the container that a task belongs to.
//!
//! Hooks: tp_btf `cgroup_mkdir`, `cgroup_rmdir` (the kernel calls both under its `cgroup_mutex`, so the born table has
//! one writer at a time) and `cgroup_notify_populated`; all exist since 5.0. These programs run a few times per
//! container and may take microseconds. [`slot_of_task`] is called on context switches and takes two array lookups.

use aya_ebpf::{
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_task, bpf_probe_read_kernel_str_bytes},
    macros::{btf_tracepoint, map},
    maps::{Array, Queue, RingBuf},
    programs::BtfTracePointContext,
};
use aya_log_ebpf::warn;
use glassbox_ebpf::{
    Lost,
    containers::{
        BUCKET_ENTRIES, CgroupBucket, CgroupEvent, Charge, EVENTS_BYTES, OWNER, SHARED_SLOT, event,
    },
};

use crate::{
    frozen::{offset, setting},
    lost,
    read::{field, kernel, present},
};

/// BPF_F_MMAPABLE (5.5). It is set not for the mapping, but because it makes the kernel place the first element of an
/// array at the start of a page. Otherwise elements start 312 bytes after the map's head, and each 64-byte element
/// straddles two cache lines.
pub(super) const ALIGNED: u32 = 1 << 10;

/// User space resizes both tables to the configured number of containers. Their buckets are aligned to cache lines, see
/// [`ALIGNED`].
#[map]
static CGROUPS_BORN: Array<CgroupBucket> = Array::with_max_entries(256, ALIGNED);
#[map]
static CGROUPS_FOUND: Array<CgroupBucket> = Array::with_max_entries(256, ALIGNED);
#[map]
static CGROUP_SLOTS: Queue<u32> = Queue::with_max_entries(256, 0);
/// Indexed by slot, as is [`CGROUP_CLAIMS`]. Written only under `cgroup_mutex`.
#[map]
static CGROUP_CHARGES: Array<Charge> = Array::with_max_entries(256, 0);
#[map]
static CGROUP_CLAIMS: Array<u32> = Array::with_max_entries(256, 0);
#[map]
static CGROUP_EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// The slot of a task.
#[inline(always)]
pub(super) fn slot_of_task(task: *const u8) -> u32 {
    let node: *const u8 = present(task_cgroup(task), offset!(cgroup_kn));
    slot_of(present(node, offset!(kernfs_node_id))) & !OWNER
}

/// The slot of the current task, for hooks without a typed task argument.
#[inline(always)]
pub(super) fn slot_of_current() -> Option<u32> {
    // SAFETY: the helpers have no preconditions.
    let id = if setting!(hierarchy_id) == 0 {
        unsafe { bpf_get_current_cgroup_id() }
    } else {
        let task = unsafe { bpf_get_current_task() };
        let group: u64 = kernel(task, offset!(task_sched_task_group))?;
        let cgroup: u64 = kernel(group, offset!(task_group_cgroup))?;
        let node: u64 = kernel(cgroup, offset!(cgroup_kn))?;
        kernel(node, offset!(kernfs_node_id))?
    };
    Some(slot_of(id) & !OWNER)
}

/// The object through which a task refers to its cgroup in the containers' hierarchy. If the task is moved, it refers
/// to an object at another address. The hierarchy is frozen, so the verifier prunes the unused branch.
#[inline(always)]
pub(super) fn holder_of_cgroup(task: *const u8) -> *const u8 {
    if setting!(hierarchy_id) == 0 {
        present(task, offset!(task_cgroups))
    } else {
        present(task, offset!(task_sched_task_group))
    }
}

#[inline(always)]
fn task_cgroup(task: *const u8) -> *const u8 {
    let holder = holder_of_cgroup(task);
    if setting!(hierarchy_id) == 0 {
        present(holder, offset!(css_set_dfl_cgrp))
    } else {
        present(holder, offset!(task_group_cgroup))
    }
}

#[inline(always)]
fn id(cgroup: *const u8) -> Option<u64> {
    let node: *const u8 = field(cgroup, offset!(cgroup_kn))?;
    field(node, offset!(kernfs_node_id))
}

#[inline(always)]
pub(super) fn slot_of(id: u64) -> u32 {
    let index = id as u32 & setting!(cgroup_mask);
    let born = CGROUPS_BORN.get_ptr(index).map_or(SHARED_SLOT, |bucket| find(bucket, id));
    if born != SHARED_SLOT {
        return born;
    }
    CGROUPS_FOUND.get_ptr(index).map_or(SHARED_SLOT, |bucket| find(bucket, id))
}

#[inline(always)]
fn find(bucket: *const CgroupBucket, id: u64) -> u32 {
    let mut entry = 0;
    while entry < BUCKET_ENTRIES {
        // SAFETY: `bucket` is a map element and `entry` is within its arrays; a torn read only causes a miss.
        unsafe {
            if (*bucket).ids[entry] == id {
                return (*bucket).slots[entry];
            }
        }
        entry += 1;
    }
    SHARED_SLOT
}

/// Maximum number of ancestors that are searched for a container around a new one.
const ANCESTORS_MAX: u32 = 32;

/// The slot of the outermost container around a cgroup, from the cgroup's entry; [`SHARED_SLOT`] if it has no entry.
#[inline(always)]
fn outermost_of(id: u64) -> u32 {
    let index = id as u32 & setting!(cgroup_mask);
    let born = CGROUPS_BORN.get_ptr(index).map_or(SHARED_SLOT, |bucket| find_outermost(bucket, id));
    if born != SHARED_SLOT {
        return born;
    }
    CGROUPS_FOUND.get_ptr(index).map_or(SHARED_SLOT, |bucket| find_outermost(bucket, id))
}

#[inline(always)]
fn find_outermost(bucket: *const CgroupBucket, id: u64) -> u32 {
    let mut entry = 0;
    while entry < BUCKET_ENTRIES {
        // SAFETY: as in `find`.
        unsafe {
            if (*bucket).ids[entry] == id {
                return (*bucket).outermost[entry];
            }
        }
        entry += 1;
    }
    SHARED_SLOT
}

/// The slot of the outermost container around a new cgroup; [`SHARED_SLOT`] if there is no container around it. `None`
/// if the cgroup is nested too deeply to be sure, because a container must not evade its limits by nesting.
#[inline(always)]
fn outermost_around(cgroup: *const u8) -> Option<u32> {
    let mut css: *const u8 = field(cgroup, offset!(cgroup_parent))?;
    let mut level = 0;
    while level < ANCESTORS_MAX {
        if css.is_null() {
            return Some(SHARED_SLOT);
        }
        let ancestor: *const u8 = field(css, offset!(css_cgroup))?;
        let outermost = outermost_of(id(ancestor)?);
        if outermost != SHARED_SLOT {
            return Some(outermost);
        }
        css = field(ancestor, offset!(cgroup_parent))?;
        level += 1;
    }
    None
}

/// Claims a slot for a container inside `outermost`, or for one on the host. Returns [`SHARED_SLOT`] if it gets none.
#[inline(always)]
fn claim(outermost: u32) -> u32 {
    if outermost != SHARED_SLOT {
        // SAFETY: map elements; `CGROUP_CHARGES` is written only under cgroup_mutex, and `CGROUP_CLAIMS` is read in one
        // instruction.
        let charged = CGROUP_CHARGES.get_ptr(outermost).map_or(0, |charge| unsafe { (*charge).slots });
        let claimed = CGROUP_CLAIMS.get_ptr(outermost).map_or(0, |claims| unsafe { claims.read_volatile() });
        if charged + claimed >= setting!(slots_per_container) {
            return SHARED_SLOT;
        }
    }
    match CGROUP_SLOTS.pop() {
        Ok(Some(slot)) => slot,
        _ => SHARED_SLOT,
    }
}

/// Changes the charge of a container by one.
#[inline(always)]
fn charge(outermost: u32, owner: bool, entered: bool) {
    let Some(charge) = CGROUP_CHARGES.get_ptr_mut(outermost) else { return };
    // SAFETY: a map element that is written only under cgroup_mutex.
    unsafe {
        let count = if owner { &raw mut (*charge).slots } else { &raw mut (*charge).nested };
        if entered {
            *count += 1;
        } else if *count != 0 {
            *count -= 1;
        }
    }
}

/// Enters a cgroup into the born table. Returns false if its bucket is full.
#[inline(always)]
fn enter(id: u64, slot: u32, outermost: u32) -> bool {
    let Some(bucket) = CGROUPS_BORN.get_ptr_mut(id as u32 & setting!(cgroup_mask)) else { return false };
    let mut entry = 0;
    while entry < BUCKET_ENTRIES {
        // SAFETY: a map element that only the kernel writes, one CPU at a time under cgroup_mutex. The slot is written
        // before the ID, so that a reader on another CPU never uses a stale slot.
        unsafe {
            if (*bucket).ids[entry] == 0 {
                (&raw mut (*bucket).slots[entry]).write_volatile(slot);
                (&raw mut (*bucket).outermost[entry]).write_volatile(outermost);
                (&raw mut (*bucket).ids[entry]).write_volatile(id);
                if slot & OWNER == 0 {
                    charge(outermost, false, true);
                } else if slot & !OWNER != outermost {
                    charge(outermost, true, true);
                }
                return true;
            }
        }
        entry += 1;
    }
    lost::count(Lost::CgroupTable);
    false
}

#[inline(always)]
fn leave(id: u64) {
    let Some(bucket) = CGROUPS_BORN.get_ptr_mut(id as u32 & setting!(cgroup_mask)) else { return };
    let mut entry = 0;
    while entry < BUCKET_ENTRIES {
        // SAFETY: as in `enter`.
        unsafe {
            if (*bucket).ids[entry] == id {
                (&raw mut (*bucket).ids[entry]).write_volatile(0);
                let (slot, outermost) = ((*bucket).slots[entry], (*bucket).outermost[entry]);
                if slot & OWNER == 0 {
                    charge(outermost, false, false);
                } else if slot & !OWNER != outermost {
                    charge(outermost, true, false);
                }
            }
        }
        entry += 1;
    }
}

/// True if the cgroup is in the containers' hierarchy.
#[inline(always)]
fn in_hierarchy(cgroup: *const u8) -> Option<bool> {
    let root: *const u8 = field(cgroup, offset!(cgroup_root))?;
    let hierarchy: u32 = field(root, offset!(cgroup_root_hierarchy_id))?;
    Some(hierarchy == setting!(hierarchy_id))
}

/// Size of the buffer for a cgroup's name. The names of containers' cgroups are shorter.
const NAME_BYTES: usize = 128;
/// Maximum number of ancestors that are searched for one with the cgroup's own name.
const ANCESTORS: usize = 6;

/// A hash of a cgroup's name.
#[inline(always)]
fn name_hash(cgroup: *const u8) -> Option<u64> {
    let node: *const u8 = field(cgroup, offset!(cgroup_kn))?;
    let name: *const u8 = field(node, offset!(kernfs_node_name))?;
    let mut words = [0u64; NAME_BYTES / 8];
    // SAFETY: the slice is as long as `words`, for which any bytes are valid; the helper checks the address and stops
    // at the end of the slice.
    let _ = unsafe {
        let buffer = core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), NAME_BYTES);
        bpf_probe_read_kernel_str_bytes(name, buffer)
    };
    let mut hash = 0u64;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    Some(hash)
}

/// If a cgroup has the same name as the container around it, it is part of that container: returns the container's
/// slot. The start scripts of kind and minikube create such cgroups, and so does systemd in a container. Returns
/// [`SHARED_SLOT`] if the cgroup is a container of its own.
#[inline(always)]
fn slot_of_repeated(cgroup: *const u8) -> Option<u32> {
    let hash = name_hash(cgroup)?;
    let parent_css: *const u8 = field(cgroup, offset!(cgroup_parent))?;
    let mut ancestor: *const u8 = field(parent_css, offset!(css_cgroup))?;
    let parent_slot = slot_of(id(ancestor)?) & !OWNER;
    if parent_slot == SHARED_SLOT {
        return Some(SHARED_SLOT);
    }
    let mut level = 0;
    while level < ANCESTORS {
        if name_hash(ancestor)? == hash && slot_of(id(ancestor)?) & OWNER != 0 {
            return Some(parent_slot);
        }
        let parent_css: *const u8 = field(ancestor, offset!(cgroup_parent))?;
        if parent_css.is_null() {
            break;
        }
        ancestor = field(parent_css, offset!(css_cgroup))?;
        level += 1;
    }
    Some(SHARED_SLOT)
}

/// 1 for a lower-case hexadecimal digit, else 0.
static HEXADECIMAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = 1;
        digit += 1;
    }
    table
};

/// True if the directory's name contains 64 hexadecimal digits in a row, like the container IDs of all runtimes.
///
/// No branch depends on the name, because the verifier would follow both sides of the branch at each position and
/// reject the program after a million steps.
#[inline(always)]
fn named_like_a_container(cgroup: *const u8) -> Option<bool> {
    let node: *const u8 = field(cgroup, offset!(cgroup_kn))?;
    let name: *const u8 = field(node, offset!(kernfs_node_name))?;
    let mut buffer = [0u8; NAME_BYTES];
    // SAFETY: the helper checks the address and stops at the buffer's end.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(name, &mut buffer) };
    let mut run = 0u64;
    let mut reached = 0u64;
    for byte in buffer {
        // SAFETY: a u8 is always an index within 256 entries. Volatile, so that the compiler does not replace the table
        // by branches.
        let digit = unsafe { HEXADECIMAL.as_ptr().add(byte as usize).read_volatile() };
        run = (run + 1) * u64::from(digit);
        // Bit 6 is set once a run has 64 digits.
        reached |= run;
    }
    Some(reached & 64 != 0)
}

#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    created(&ctx);
    0
}

#[inline(always)]
fn created(ctx: &BtfTracePointContext) -> Option<()> {
    let cgroup: *const u8 = ctx.arg(0);
    let path: *const u8 = ctx.arg(1);
    if !in_hierarchy(cgroup)? {
        return None;
    }
    let id = id(cgroup)?;
    let parent_css: *const u8 = field(cgroup, offset!(cgroup_parent))?;
    let parent: *const u8 = field(parent_css, offset!(css_cgroup))?;
    let parent = self::id(parent)?;
    if !named_like_a_container(cgroup)? {
        let slot = slot_of(parent) & !OWNER;
        if slot != SHARED_SLOT {
            enter_nested(id, slot, outermost_of(parent));
        }
        return None;
    }
    let slot = slot_of_repeated(cgroup)?;
    if slot != SHARED_SLOT {
        enter_nested(id, slot, outermost_of(parent));
        return None;
    }
    let Some(mut entry) = CGROUP_EVENTS.reserve::<CgroupEvent>(0) else {
        // User space finds the cgroup on its next walk and claims a slot for it then.
        lost::count(Lost::CgroupEvents);
        return None;
    };
    let around = outermost_around(cgroup);
    let mut slot = around.map_or(SHARED_SLOT, claim);
    let outermost = around.filter(|&slot| slot != SHARED_SLOT).unwrap_or(slot);
    if slot == SHARED_SLOT {
        // The agent repeats this warning while slots are lacking. A line per container would flood the log.
        if lost::counted(Lost::CgroupSlots) == 1 {
            warn!(ctx, "no free slot for cgroup {}: raise containers.max", id);
        }
    } else if !enter(id, slot | OWNER, outermost) {
        let _ = CGROUP_SLOTS.push(slot, 0);
        slot = SHARED_SLOT;
    }
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole `CgroupEvent`, and all members are written before it is submitted (`path` up
    // to its NUL, by a helper that checks the address).
    unsafe {
        (&raw mut (*record).kind).write(event::CREATED);
        (&raw mut (*record).slot).write(slot);
        (&raw mut (*record).id).write(id);
        (&raw mut (*record).path[0]).write(0);
        let _ = bpf_probe_read_kernel_str_bytes(path, &mut (*record).path);
    }
    entry.submit(0);
    Some(())
}

/// Enters a cgroup nested in a container, unless the container has used its share of the table.
#[inline(always)]
fn enter_nested(id: u64, slot: u32, outermost: u32) {
    // SAFETY: a map element that is written only under cgroup_mutex.
    let nested = CGROUP_CHARGES.get_ptr(outermost).map_or(0, |charge| unsafe { (*charge).nested });
    if nested >= setting!(nested_per_container) {
        lost::count(Lost::CgroupTable);
    } else {
        enter(id, slot, outermost);
    }
}

#[btf_tracepoint(function = "cgroup_rmdir")]
fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    if let Some(id) = ended(cgroup, event::REMOVED) {
        leave(id);
    }
    0
}

#[btf_tracepoint(function = "cgroup_notify_populated")]
fn cgroup_emptied(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    let populated: u32 = ctx.arg(2);
    if populated == 0 {
        ended(cgroup, event::EMPTIED);
    }
    0
}

/// Sends an event to user space if the cgroup is a container's, with or without a slot. Returns the ID of any cgroup in
/// the containers' hierarchy.
#[inline(always)]
fn ended(cgroup: *const u8, kind: u32) -> Option<u64> {
    if !in_hierarchy(cgroup)? {
        return None;
    }
    let id = id(cgroup)?;
    let slot = slot_of(id);
    if slot & OWNER != 0 || (slot == SHARED_SLOT && named_like_a_container(cgroup)?) {
        match CGROUP_EVENTS.reserve::<CgroupEvent>(0) {
            Some(mut entry) => {
                let record = entry.as_mut_ptr();
                // SAFETY: the reservation is a whole `CgroupEvent`; user space does not read the path of these kinds.
                unsafe {
                    (&raw mut (*record).kind).write(kind);
                    (&raw mut (*record).slot).write(slot & !OWNER);
                    (&raw mut (*record).id).write(id);
                    (&raw mut (*record).path[0]).write(0);
                }
                entry.submit(0);
            }
            // User space detects the exit on its next walk.
            None => lost::count(Lost::CgroupEvents),
        }
    }
    Some(id)
}
