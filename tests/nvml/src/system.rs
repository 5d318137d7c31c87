//! The library's own functions, and the list of GPUs.
#![expect(clippy::missing_safety_doc, reason = "the contracts are those of nvml.h")]

use libc::{c_char, c_int, c_uint};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::state::{call, code, count_initialization, handle_of, state, write, write_text};

/// `nvmlInit_v2`.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    count_initialization();
    call("nvmlInit_v2", |_| {
        state().initialised += 1;
        Ok(())
    })
}

/// `nvmlInitWithFlags`.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    call("nvmlInitWithFlags", |_| {
        state().initialised += 1;
        Ok(())
    })
}

/// `nvmlShutdown`.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    call("nvmlShutdown", |_| {
        state().initialised -= 1;
        Ok(())
    })
}

/// `nvmlErrorString`.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    let text = match result {
        code::SUCCESS => c"Success",
        code::GPU_IS_LOST => c"GPU is lost",
        _ => c"An error of the stand-in",
    };
    text.as_ptr()
}

/// `nvmlSystemGetDriverVersion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    call("nvmlSystemGetDriverVersion", |scenario| {
        // SAFETY: the caller's buffer of that length.
        unsafe { write_text(version, length as usize, &scenario.driver_version) }
    })
}

/// `nvmlSystemGetNVMLVersion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    call("nvmlSystemGetNVMLVersion", |scenario| {
        // SAFETY: the caller's buffer of that length.
        unsafe { write_text(version, length as usize, &format!("13.{}", scenario.driver_version)) }
    })
}

/// `nvmlSystemGetCudaDriverVersion_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    call("nvmlSystemGetCudaDriverVersion_v2", |_| unsafe { write(version, 13_000) })
}

/// `nvmlDeviceGetCount_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    call("nvmlDeviceGetCount_v2", |scenario| unsafe { write(count, scenario.devices.len() as c_uint) })
}

/// `nvmlDeviceGetHandleByIndex_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    call("nvmlDeviceGetHandleByIndex_v2", |scenario| {
        let found = scenario.devices.get(index as usize).ok_or(code::INVALID_ARGUMENT)?;
        if found.lost {
            return Err(code::GPU_IS_LOST);
        }
        // SAFETY: the caller's variable.
        unsafe { write(device, handle_of(index as usize)) }
    })
}
