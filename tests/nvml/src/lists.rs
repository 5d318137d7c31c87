//! Lists of one GPU: samples and processes. If a list does not fit, the call fails and returns its length.
#![expect(clippy::missing_safety_doc, reason = "the contracts are those of nvml.h")]

use libc::{c_uint, c_ulonglong};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessUtilizationSample_t, nvmlReturn_t, nvmlSample_t, nvmlValue_t,
};

use crate::{
    scenario::{Device, Kind, since_epoch_us},
    state::{code, device_call, write},
};

// The sizes of the real interface.
const _: () = assert!(size_of::<nvmlProcessUtilizationSample_t>() == 32 && size_of::<nvmlSample_t>() == 16);
const _: () = assert!(size_of::<nvmlProcessInfo_t>() == 24);

const UNSIGNED_INT: c_uint = 1;
const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;

/// Copies a list to the caller.
///
/// # Safety
/// `count` is valid; `out` is null or valid for writes of `*count` elements.
unsafe fn hand_over<T>(list: Vec<T>, count: *mut c_uint, out: *mut T) -> Result<(), nvmlReturn_t> {
    if count.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: valid by this function's contract.
    let room = unsafe { count.replace(list.len() as c_uint) } as usize;
    if list.is_empty() {
        return Ok(());
    }
    if out.is_null() || room < list.len() {
        return Err(code::INSUFFICIENT_SIZE);
    }
    for (at, element) in list.into_iter().enumerate() {
        // SAFETY: `at` is below `room`.
        unsafe { out.add(at).write(element) };
    }
    Ok(())
}

/// `nvmlDeviceGetSamples`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSamples(
    device: nvmlDevice_t,
    kind: c_uint,
    last_seen_us: c_ulonglong,
    value_type: *mut c_uint,
    count: *mut c_uint,
    samples: *mut nvmlSample_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetSamples", device, |device| {
        let buffer = device.samples.get(&kind).ok_or(code::NOT_SUPPORTED)?;
        let news = buffer.after(last_seen_us);
        if news.is_empty() {
            return Err(code::NOT_FOUND);
        }
        let sample =
            |(at_us, value)| nvmlSample_t { timeStamp: at_us, sampleValue: nvmlValue_t { uiVal: value } };
        // SAFETY: the caller's variables, and an array of the stated number of elements.
        unsafe {
            write(value_type, UNSIGNED_INT)?;
            hand_over(news.into_iter().map(sample).collect(), count, samples)
        }
    })
}

/// `nvmlDeviceGetProcessUtilization`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: nvmlDevice_t,
    samples: *mut nvmlProcessUtilizationSample_t,
    count: *mut c_uint,
    last_seen_us: c_ulonglong,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetProcessUtilization", device, |device| {
        let sampled = device.processes.iter().filter_map(|process| {
            let use_ = process.utilization?;
            Some(nvmlProcessUtilizationSample_t {
                pid: process.pid,
                timeStamp: use_.at_us.unwrap_or_else(since_epoch_us),
                smUtil: use_.sm,
                memUtil: use_.memory,
                encUtil: use_.encoder,
                decUtil: use_.decoder,
            })
        });
        let news: Vec<_> = sampled.filter(|sample| sample.timeStamp > last_seen_us).collect();
        if news.is_empty() {
            return Err(code::NOT_FOUND);
        }
        // SAFETY: the caller's variable, and an array of the stated number of elements.
        unsafe { hand_over(news, count, samples) }
    })
}

fn processes(device: &Device, kind: Kind) -> Vec<nvmlProcessInfo_t> {
    let of_kind = device.processes.iter().filter(|process| process.kind == kind);
    of_kind
        .map(|process| nvmlProcessInfo_t {
            pid: process.pid,
            usedGpuMemory: process.memory.unwrap_or(NOT_AVAILABLE),
            gpuInstanceId: process.instance.unwrap_or(c_uint::MAX),
            computeInstanceId: process.instance.map_or(c_uint::MAX, |_| 0),
        })
        .collect()
}

/// The lists of processes.
macro_rules! process_lists {
    ($($name:ident: $kind:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t,
            count: *mut c_uint,
            infos: *mut nvmlProcessInfo_t,
        ) -> nvmlReturn_t {
            // SAFETY: the caller's variable, and an array of the stated number of elements.
            device_call(stringify!($name), device, |device| unsafe {
                hand_over(processes(device, $kind), count, infos)
            })
        }
    )*};
}

process_lists! {
    nvmlDeviceGetComputeRunningProcesses_v3: Kind::Compute;
    nvmlDeviceGetGraphicsRunningProcesses_v3: Kind::Graphics;
    nvmlDeviceGetMPSComputeRunningProcesses_v3: Kind::Mps;
}
