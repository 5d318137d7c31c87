//! The library's state: the last scenario that was read, whether it is initialized, and the events that were reported.

use std::{
    collections::HashMap,
    env,
    ffi::{CStr, OsString},
    fs,
    io::Write as _,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::scenario::{Device, Instance, Scenario};

/// Names the scenario.
pub const VARIABLE: &str = "GLASSBOX_NVML_SCENARIO";

/// Return codes, as in nvml.h.
pub mod code {
    /// Success.
    pub const SUCCESS: u32 = 0;
    /// `nvmlInit` was not called.
    pub const UNINITIALIZED: u32 = 1;
    /// An argument is invalid.
    pub const INVALID_ARGUMENT: u32 = 2;
    /// The GPU does not support it.
    pub const NOT_SUPPORTED: u32 = 3;
    /// Nothing, or nothing new, was found.
    pub const NOT_FOUND: u32 = 6;
    /// The buffer is too small.
    pub const INSUFFICIENT_SIZE: u32 = 7;
    /// No event within the timeout.
    pub const TIMEOUT: u32 = 10;
    /// The library does not have the function.
    pub const FUNCTION_NOT_FOUND: u32 = 13;
    /// The GPU has fallen off the bus.
    pub const GPU_IS_LOST: u32 = 15;
}

/// Distinguishes handles of instances from those of GPUs.
const INSTANCE: usize = 0x1_0000;

#[derive(Default)]
pub(crate) struct State {
    file: Option<(u64, i64, i64, u64)>,
    scenario: Arc<Scenario>,
    pub(crate) initialised: u32,
    /// Number of Xid errors that were reported, by the GPU's UUID.
    pub(crate) reported: HashMap<String, usize>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);
static FILE: LazyLock<PathBuf> = LazyLock::new(scenario_file);

pub(crate) fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn scenario_file() -> PathBuf {
    if let Some(path) = env::var_os(VARIABLE) {
        return path.into();
    }
    // SAFETY: `info` is a plain struct that outlives the call; the address is in this library.
    let library = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let here = scenario_file as fn() -> PathBuf as *const libc::c_void;
        if libc::dladdr(here, &raw mut info) == 0 || info.dli_fname.is_null() {
            Vec::new()
        } else {
            CStr::from_ptr(info.dli_fname).to_bytes().to_vec()
        }
    };
    let mut path = OsString::from_vec(library);
    path.push(".json");
    path.into()
}

/// The current scenario. If the file is missing or invalid, the host has no GPUs, and the reason is printed to standard
/// error.
fn current() -> Arc<Scenario> {
    let file = fs::metadata(&*FILE).ok();
    let file = file.map(|file| (file.ino(), file.mtime(), file.mtime_nsec(), file.size()));
    let mut state = state();
    if state.file != file {
        state.file = file;
        let read = fs::read(&*FILE).map_err(|error| error.to_string());
        let parsed = read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        state.scenario = Arc::new(parsed.unwrap_or_else(|error| {
            eprintln!("NVML stand-in: read {}: {error}", FILE.display());
            Scenario::default()
        }));
    }
    state.scenario.clone()
}

/// Counts an attempt to initialize the library, successful or not: appends one byte to the file with `.initializations`
/// after the scenario's name.
pub(crate) fn count_initialization() {
    let mut path = FILE.clone().into_os_string();
    path.push(".initializations");
    // Without write access to the directory, attempts are not counted.
    let _ =
        fs::File::options().create(true).append(true).open(path).and_then(|mut file| file.write_all(b"."));
}

/// Starts a call. Depending on the scenario, it hangs, fails or continues.
pub(crate) fn enter(call: &str) -> Result<Arc<Scenario>, nvmlReturn_t> {
    let scenario = current();
    if let Some(seconds) = scenario.hang_s.get(call) {
        std::thread::sleep(Duration::try_from_secs_f64(*seconds).unwrap_or_default());
    }
    if scenario.missing.iter().any(|name| name == call) {
        return Err(code::FUNCTION_NOT_FOUND);
    }
    if let Some(code) = scenario.errors.get(call) {
        return Err(*code);
    }
    if state().initialised == 0 && !call.starts_with("nvmlInit") {
        return Err(code::UNINITIALIZED);
    }
    Ok(scenario)
}

/// Makes a call without a GPU.
pub(crate) fn call(name: &str, answer: impl FnOnce(&Scenario) -> Result<(), nvmlReturn_t>) -> nvmlReturn_t {
    match enter(name).and_then(|scenario| answer(&scenario)) {
        Ok(()) => code::SUCCESS,
        Err(code) => code,
    }
}

/// Makes a call about a GPU.
pub(crate) fn device_call(
    name: &str,
    handle: nvmlDevice_t,
    answer: impl FnOnce(&Device) -> Result<(), nvmlReturn_t>,
) -> nvmlReturn_t {
    call(name, |scenario| answer(alive(scenario, name, index_of(handle))?))
}

/// Makes a call about a GPU or one of its instances.
pub(crate) fn part_call(
    name: &str,
    handle: nvmlDevice_t,
    answer: impl FnOnce(&Device, Option<&Instance>) -> Result<(), nvmlReturn_t>,
) -> nvmlReturn_t {
    call(name, |scenario| {
        let number = handle as usize;
        if number < INSTANCE {
            return answer(alive(scenario, name, index_of(handle))?, None);
        }
        let device = alive(scenario, name, (number - INSTANCE) / 256)?;
        let instance = device.instances.get(number % 256).ok_or(code::INVALID_ARGUMENT)?;
        answer(device, Some(instance))
    })
}

fn alive<'a>(scenario: &'a Scenario, call: &str, index: usize) -> Result<&'a Device, nvmlReturn_t> {
    let device = scenario.devices.get(index).ok_or(code::INVALID_ARGUMENT)?;
    if device.lost {
        return Err(code::GPU_IS_LOST);
    }
    device.errors.get(call).map_or(Ok(device), |code| Err(*code))
}

/// The handle of a GPU: never null.
pub(crate) fn handle_of(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

/// The handle of an instance.
pub(crate) fn instance_handle(device: nvmlDevice_t, instance: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(INSTANCE + index_of(device) * 256 + instance)
}

/// The index of a GPU by its handle. An invalid handle gives an index outside every list.
pub(crate) fn index_of(handle: nvmlDevice_t) -> usize {
    (handle as usize).wrapping_sub(1)
}

/// Writes through a pointer of the caller.
///
/// # Safety
/// `out` is null or valid for a write.
pub(crate) unsafe fn write<T>(out: *mut T, value: T) -> Result<(), nvmlReturn_t> {
    if out.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, so valid by this function's contract.
    unsafe { out.write(value) };
    Ok(())
}

/// Writes a string with a terminating zero to a buffer.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
pub(crate) unsafe fn write_text(
    out: *mut libc::c_char,
    length: usize,
    text: &str,
) -> Result<(), nvmlReturn_t> {
    if out.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    if text.len() >= length {
        return Err(code::INSUFFICIENT_SIZE);
    }
    // SAFETY: the buffer has space for the text and one more byte.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), out, text.len());
        out.add(text.len()).write(0);
    }
    Ok(())
}
