//! Xid events. Each error that the scenario adds is reported once.
#![expect(clippy::missing_safety_doc, reason = "the contracts are those of nvml.h")]

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use libc::{c_uint, c_ulonglong};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t, nvmlReturn_t};

use crate::{
    scenario::Scenario,
    state::{call, code, device_call, enter, handle_of, index_of, state, write},
};

// The size of the real interface.
const _: () = assert!(size_of::<nvmlEventData_t>() == 32);

const XID: c_ulonglong = 8;
/// Interval at which a waiting call reads the scenario.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The watched GPUs of an event set.
#[derive(Default)]
struct Set(Mutex<Vec<usize>>);

/// `nvmlEventSetCreate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut nvmlEventSet_t) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    call("nvmlEventSetCreate", |_| unsafe { write(set, Box::into_raw(Box::<Set>::default()).cast()) })
}

/// `nvmlEventSetFree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> nvmlReturn_t {
    call("nvmlEventSetFree", |_| {
        if set.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: `nvmlEventSetCreate` returned it, and it is not freed twice.
        drop(unsafe { Box::from_raw(set.cast::<Set>()) });
        Ok(())
    })
}

/// `nvmlDeviceRegisterEvents`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    types: c_ulonglong,
    set: nvmlEventSet_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceRegisterEvents", device, |_| {
        if set.is_null() || types & XID == 0 {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: `nvmlEventSetCreate` returned it.
        let watched = unsafe { &(*set.cast::<Set>()).0 };
        watched.lock().unwrap_or_else(PoisonError::into_inner).push(index_of(device));
        Ok(())
    })
}

/// `nvmlEventSetWait_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    if set.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: `nvmlEventSetCreate` returned it.
    let watched = unsafe { &(*set.cast::<Set>()).0 };
    let watched = watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
    loop {
        let scenario = match enter("nvmlEventSetWait_v2") {
            Ok(scenario) => scenario,
            Err(code) => return code,
        };
        if let Some((index, xid)) = next(&scenario, &watched) {
            let event = nvmlEventData_t {
                device: handle_of(index),
                eventType: XID,
                eventData: xid,
                gpuInstanceId: c_uint::MAX,
                computeInstanceId: c_uint::MAX,
            };
            // SAFETY: the caller's variable.
            return unsafe { write(data, event) }.err().unwrap_or(code::SUCCESS);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return code::TIMEOUT;
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

/// The next error that has not been reported.
fn next(scenario: &Scenario, watched: &[usize]) -> Option<(usize, u64)> {
    let mut state = state();
    watched.iter().find_map(|index| {
        let device = scenario.devices.get(*index)?;
        let reported = state.reported.entry(device.uuid.clone()).or_default();
        let xid = device.xids.get(*reported).copied()?;
        *reported += 1;
        Some((*index, xid))
    })
}
