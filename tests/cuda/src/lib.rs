//! A `libcuda.so.1` for hosts without a GPU. It sends the calls of `cuda-work` to the fake driver with the directory and
//! release in `GLASSBOX_FAKE_NVIDIA` (`DIRECTORY RELEASE`). Kernels end immediately.

use std::{
    ffi::{c_char, c_int, c_uint, c_void},
    path::Path,
    sync::{Mutex, PoisonError},
};

use glassbox_tests::nvidia::application::{Allocated, Application};

/// Names the driver.
const VARIABLE: &str = "GLASSBOX_FAKE_NVIDIA";

const SUCCESS: c_int = 0;
const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const NO_DEVICE: c_int = 100;
const OPERATING_SYSTEM: c_int = 304;

static APPLICATION: Mutex<Option<Application>> = Mutex::new(None);

/// Any other result is a failure; the reason is printed to standard error.
fn result(outcome: Result<c_int, impl std::fmt::Display>) -> c_int {
    outcome.unwrap_or_else(|error| {
        eprintln!("CUDA stand-in: {error:#}");
        OPERATING_SYSTEM
    })
}

fn with(work: impl FnOnce(&mut Application) -> c_int) -> c_int {
    let mut application = APPLICATION.lock().unwrap_or_else(PoisonError::into_inner);
    application.as_mut().map_or(NO_DEVICE, work)
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> c_int {
    if std::env::var_os(VARIABLE).is_some() { SUCCESS } else { NO_DEVICE }
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    // SAFETY: the caller of this C function guarantees a pointer that can be written.
    unsafe { device.write(ordinal) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v2(context: *mut *mut c_void, _flags: c_uint, device: c_int) -> c_int {
    let named = std::env::var(VARIABLE).unwrap_or_default();
    let Some((directory, release)) = named.split_once(' ') else { return NO_DEVICE };
    let opened = Application::open(Path::new(directory), device.unsigned_abs(), release);
    let made = opened.and_then(|mut application| {
        application.context()?;
        *APPLICATION.lock().unwrap_or_else(PoisonError::into_inner) = Some(application);
        // SAFETY: as above. The handle does not point to anything.
        unsafe { context.write(std::ptr::without_provenance_mut(1)) };
        Ok(SUCCESS)
    });
    result(made)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxDestroy_v2(_context: *mut c_void) -> c_int {
    *APPLICATION.lock().unwrap_or_else(PoisonError::into_inner) = None;
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    with(|application| {
        result(application.allocate(bytes as u64).map(|allocated| match allocated {
            Allocated::At(granted) => {
                // SAFETY: as above.
                unsafe { address.write(granted) };
                SUCCESS
            }
            Allocated::NoMemory => OUT_OF_MEMORY,
        }))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    with(|application| {
        result(application.free(address).map(|known| if known { SUCCESS } else { INVALID_VALUE }))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(module: *mut *mut c_void, _image: *const c_void) -> c_int {
    // SAFETY: as above. The handle does not point to anything.
    unsafe { module.write(std::ptr::without_provenance_mut(1)) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    _module: *mut c_void,
    _name: *const c_char,
) -> c_int {
    // SAFETY: as above. The handle does not point to anything.
    unsafe { function.write(std::ptr::without_provenance_mut(1)) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    _function: *mut c_void,
    _grid_x: c_uint,
    _grid_y: c_uint,
    _grid_z: c_uint,
    _block_x: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _shared_bytes: c_uint,
    _stream: *mut c_void,
    _parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    with(|_| SUCCESS)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    with(|_| SUCCESS)
}
