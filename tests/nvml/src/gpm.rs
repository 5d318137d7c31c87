//! GPM, the performance counters of Hopper and later.
#![expect(clippy::missing_safety_doc, reason = "the contracts are those of nvml.h")]

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpmMetric_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t, nvmlReturn_t,
};

use crate::state::{call, code, device_call, index_of, write};

// The size of the real interface.
const _: () = assert!(size_of::<nvmlGpmMetric_t>() == 40);

/// A sample, with the index of its GPU.
struct Sample(Option<usize>);

/// `nvmlGpmQueryDeviceSupport`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    device: nvmlDevice_t,
    support: *mut nvmlGpmSupport_t,
) -> nvmlReturn_t {
    device_call("nvmlGpmQueryDeviceSupport", device, |device| {
        if support.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's variable.
        unsafe { (*support).isSupportedDevice = (!device.gpm.is_empty()).into() };
        Ok(())
    })
}

/// `nvmlGpmSampleAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    call("nvmlGpmSampleAlloc", |_| unsafe { write(sample, Box::into_raw(Box::new(Sample(None))).cast()) })
}

/// `nvmlGpmSampleFree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    call("nvmlGpmSampleFree", |_| {
        if sample.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: `nvmlGpmSampleAlloc` returned it, and it is not freed twice.
        drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
        Ok(())
    })
}

/// `nvmlGpmSampleGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> nvmlReturn_t {
    device_call("nvmlGpmSampleGet", device, |found| {
        if found.gpm.is_empty() || sample.is_null() {
            return Err(code::NOT_SUPPORTED);
        }
        // SAFETY: `nvmlGpmSampleAlloc` returned it.
        unsafe { sample.cast::<Sample>().write(Sample(Some(index_of(device)))) };
        Ok(())
    })
}

/// `nvmlGpmMetricsGet`: reads and writes only as many metrics as requested.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(get: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    call("nvmlGpmMetricsGet", |scenario| {
        if get.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's request, of which only the first part may exist; the samples are from this library.
        let (count, index, metrics) = unsafe {
            let (first, second) = ((*get).sample1.cast::<Sample>(), (*get).sample2.cast::<Sample>());
            if (*get).version != 1 || first.is_null() || second.is_null() {
                return Err(code::INVALID_ARGUMENT);
            }
            let index = (*second).0.filter(|index| (*first).0 == Some(*index));
            ((*get).numMetrics as usize, index, (&raw mut (*get).metrics).cast::<nvmlGpmMetric_t>())
        };
        let device = index.and_then(|index| scenario.devices.get(index)).ok_or(code::INVALID_ARGUMENT)?;
        for at in 0..count {
            // SAFETY: the caller's request has that many metrics.
            let metric = unsafe { &mut *metrics.add(at) };
            match device.gpm.get(&metric.metricId) {
                Some(value) => (metric.nvmlReturn, metric.value) = (code::SUCCESS, value.now()),
                None => metric.nvmlReturn = code::NOT_SUPPORTED,
            }
        }
        Ok(())
    })
}
