//! Decodes a request word and the caller's structure into a command and its status.

use glassbox_ebpf::nvidia_driver::{
    CallInFlight, DriverSlot, Layout, TRANSPORT, UNDEFINED_STATUS, UVM_LAYOUTS, WARNINGS,
    commands::{
        ALLOC, CONTROL, MAGIC, OTHER, RM_ALLOC, RM_CONTROL, UNKNOWN, UVM, XFER, class_group, control_group,
        uvm_index,
    },
    device,
};

use super::NVIDIA_LAYOUTS;
use crate::{
    read::{add, user},
    verifier::forgotten,
};

/// A decoded call: its command and its result.
pub(super) struct Answer {
    pub(super) command: u16,
    /// 0 for success, [`UNKNOWN_STATUS`] if the status could not be read or the structure has none.
    pub(super) status: u32,
    /// The request's number among those of its device.
    pub(super) number: u32,
    /// Address of the structure, without the wrapper if there is one.
    pub(super) argument: u64,
    /// First words of the structure of `RM_ALLOC`: client, parent, new object, class.
    pub(super) head: [u32; 4],
}

/// Neither a status of the driver nor an error number. Not an `Option`, because the payload of a `None` is
/// uninitialized and the verifier rejects a program that copies it.
pub(super) const UNKNOWN_STATUS: u32 = u32::MAX;

#[inline(always)]
pub(super) fn read(call: &CallInFlight, result: i64, counts: *mut DriverSlot, unknown: u64) -> Answer {
    let mut answer = if call.device == device::UVM {
        uvm(call, counts)
    } else if (call.request >> 8) & 0xFF == MAGIC && call.device != device::OTHER {
        resource_manager(call, counts, unknown)
    } else {
        Answer {
            command: OTHER,
            status: UNKNOWN_STATUS,
            number: u32::MAX,
            argument: call.argument,
            head: [0; 4],
        }
    };
    if result < 0 {
        answer.status = TRANSPORT | (result.unsigned_abs() as u32 & 0xFFF);
    }
    answer.command = forgotten(answer.command.into(), unknown) as u16;
    answer.number = forgotten(answer.number.into(), unknown) as u32;
    answer.status = forgotten(answer.status.into(), unknown) as u32;
    answer
}

/// Replaces undefined statuses. The driver's statuses are below 0x100; a few warnings are above 0x10000, and 0xFFFF is
/// the generic error.
#[inline(always)]
fn defined(status: u32) -> u32 {
    if status < 0x100 || status == 0xFFFF || WARNINGS.contains(&status) { status } else { UNDEFINED_STATUS }
}

#[inline(always)]
fn uvm(call: &CallInFlight, counts: *mut DriverSlot) -> Answer {
    let argument = call.argument;
    let answer = |command, status, number| Answer { command, status, number, argument, head: [0; 4] };
    let Some(index) = uvm_index(call.request) else {
        return answer(UVM | UNKNOWN, UNKNOWN_STATUS, u32::MAX);
    };
    let status = status(UVM_LAYOUTS + index, Layout::ANY, argument, counts);
    answer(UVM | index as u16, status, call.request)
}

#[inline(always)]
fn resource_manager(call: &CallInFlight, counts: *mut DriverSlot, unknown: u64) -> Answer {
    let (mut number, mut size, mut argument) =
        (call.request & 0xFF, (call.request >> 16) & 0x3FFF, call.argument);
    if number == XFER {
        // The wrapper contains number, size and address.
        match user::<[u32; 4]>(argument) {
            Some([inner, inner_size, low, high]) => {
                // The driver rejects a number above 0xFF, so it must not count as the command with the same low byte.
                number = if inner <= 0xFF { inner } else { u32::from(UNKNOWN) };
                size = inner_size;
                argument = u64::from(high) << 32 | u64::from(low);
            }
            None => unreadable(counts),
        }
    }
    let mut head = [0; 4];
    let command = match number {
        RM_CONTROL => {
            let Some(control) = user::<u32>(argument + 8) else {
                unreadable(counts);
                return Answer { command: CONTROL, status: UNKNOWN_STATUS, number, argument, head };
            };
            CONTROL | control_group(control)
        }
        RM_ALLOC => {
            let Some(read) = user::<[u32; 4]>(argument) else {
                unreadable(counts);
                return Answer { command: ALLOC, status: UNKNOWN_STATUS, number, argument, head };
            };
            head = read;
            let group = class_group(read[3]);
            head[3] = forgotten(head[3].into(), unknown) as u32;
            ALLOC | group
        }
        // Numbers that the driver defines. All others count as one command.
        0x27..=0x5F | 0xC8..=0xDA => number as u16,
        _ => UNKNOWN,
    };
    Answer { command, status: status(number, size, argument, counts), number, argument, head }
}

/// Reads the status from a structure. Returns [`UNKNOWN_STATUS`] if the structure has none, if its layout is unknown,
/// or if it cannot be read. The last two cases are counted.
#[inline(always)]
fn status(index: u32, size: u32, argument: u64, counts: *mut DriverSlot) -> u32 {
    let Some(layout) = NVIDIA_LAYOUTS.get(index) else { return UNKNOWN_STATUS };
    let offset = if layout.sizes[0] != 0 && (layout.sizes[0] == Layout::ANY || layout.sizes[0] == size) {
        layout.statuses[0]
    } else if layout.sizes[1] != 0 && layout.sizes[1] == size {
        layout.statuses[1]
    } else {
        // SAFETY: a map element.
        unsafe { add(&raw mut (*counts).counters.undecoded, 1) };
        return UNKNOWN_STATUS;
    };
    if offset == Layout::NO_STATUS {
        return UNKNOWN_STATUS;
    }
    match user::<u32>(argument + u64::from(offset)) {
        Some(status) => defined(status),
        None => {
            unreadable(counts);
            UNKNOWN_STATUS
        }
    }
}

#[inline(always)]
fn unreadable(counts: *mut DriverSlot) {
    // SAFETY: a map element.
    unsafe { add(&raw mut (*counts).counters.unreadable, 1) };
}
