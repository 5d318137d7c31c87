//! One GPU: its identity and its values.
#![expect(clippy::missing_safety_doc, reason = "the contracts are those of nvml.h")]

use libc::{c_char, c_int, c_uint, c_ulonglong};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlReturn_t, nvmlUtilization_t,
};

use crate::{
    scenario::Device,
    state::{code, device_call, instance_handle, part_call, write, write_text},
};

// The sizes of the real interface.
const _: () = assert!(size_of::<nvmlMemory_v2_t>() == 40 && size_of::<nvmlFieldValue_t>() == 40);
const _: () = assert!(size_of::<nvmlUtilization_t>() == 8 && size_of::<nvmlPciInfo_t>() == 68);

const MEMORY_VERSION: u32 = 40 | 2 << 24;
const UNSIGNED_LONG_LONG: u32 = 3;
/// Fields of one NVLink, or of all with this scope ID.
const LINK_FIELDS: [u32; 2] = [138, 139];

fn value(device: &Device, key: &str) -> Result<u64, nvmlReturn_t> {
    device.values.get(key).map(|value| value.count()).ok_or(code::NOT_SUPPORTED)
}

/// Functions that return one number.
macro_rules! numbers {
    ($($name:ident -> $type:ty;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, out: *mut $type) -> nvmlReturn_t {
            device_call(stringify!($name), device, |device| {
                let value = value(device, stringify!($name))?;
                // SAFETY: the caller's variable.
                unsafe { write(out, value as $type) }
            })
        }
    )*};
}

numbers! {
    nvmlDeviceGetPowerUsage -> c_uint;
    nvmlDeviceGetEnforcedPowerLimit -> c_uint;
    nvmlDeviceGetPowerManagementLimit -> c_uint;
    nvmlDeviceGetTotalEnergyConsumption -> c_ulonglong;
    nvmlDeviceGetPcieReplayCounter -> c_uint;
    nvmlDeviceGetCurrPcieLinkGeneration -> c_uint;
    nvmlDeviceGetCurrPcieLinkWidth -> c_uint;
    nvmlDeviceGetCurrentClocksThrottleReasons -> c_ulonglong;
    nvmlDeviceGetCurrentClocksEventReasons -> c_ulonglong;
}

/// Functions that return one number for a selector.
macro_rules! selected {
    ($($name:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, kind: c_uint, out: *mut c_uint) -> nvmlReturn_t {
            device_call(stringify!($name), device, |device| {
                let value = value(device, &format!("{}:{kind}", stringify!($name)))?;
                // SAFETY: the caller's variable.
                unsafe { write(out, value as c_uint) }
            })
        }
    )*};
}

selected! {
    nvmlDeviceGetTemperature;
    nvmlDeviceGetClockInfo;
    nvmlDeviceGetMaxClockInfo;
}

/// Functions that return a percentage and its sampling period.
macro_rules! engines {
    ($($name:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t,
            utilization: *mut c_uint,
            period_us: *mut c_uint,
        ) -> nvmlReturn_t {
            device_call(stringify!($name), device, |device| {
                let value = value(device, stringify!($name))?;
                // SAFETY: the caller's variables.
                unsafe { write(utilization, value as c_uint).and_then(|()| write(period_us, 167_000)) }
            })
        }
    )*};
}

engines! {
    nvmlDeviceGetEncoderUtilization;
    nvmlDeviceGetDecoderUtilization;
}

/// `nvmlDeviceGetName`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(
    device: nvmlDevice_t,
    name: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    // SAFETY: the caller's buffer of that length.
    device_call("nvmlDeviceGetName", device, |device| unsafe {
        write_text(name, length as usize, &device.name)
    })
}

/// `nvmlDeviceGetUUID`, also of an instance.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(
    device: nvmlDevice_t,
    uuid: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    part_call("nvmlDeviceGetUUID", device, |device, instance| {
        let text = instance.map_or(&device.uuid, |instance| &instance.uuid);
        // SAFETY: the caller's buffer of that length.
        unsafe { write_text(uuid, length as usize, text) }
    })
}

/// `nvmlDeviceGetMinorNumber`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMinorNumber(device: nvmlDevice_t, minor: *mut c_uint) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    device_call("nvmlDeviceGetMinorNumber", device, |device| unsafe { write(minor, device.minor) })
}

/// `nvmlDeviceGetPciInfo_v3`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(
    device: nvmlDevice_t,
    pci: *mut nvmlPciInfo_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetPciInfo_v3", device, |device| {
        // SAFETY: plain numbers, for which all zeros are valid.
        let mut info: nvmlPciInfo_t = unsafe { std::mem::zeroed() };
        let room = info.busId.len();
        // SAFETY: a buffer of that length, and the caller's variable.
        unsafe {
            write_text(info.busId.as_mut_ptr(), room, &device.pci_bus_id)?;
            write(pci, info)
        }
    })
}

/// `nvmlDeviceGetUtilizationRates`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: nvmlDevice_t,
    rates: *mut nvmlUtilization_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetUtilizationRates", device, |device| {
        let gpu = value(device, "nvmlDeviceGetUtilizationRates:gpu")? as c_uint;
        let memory = value(device, "nvmlDeviceGetUtilizationRates:memory")? as c_uint;
        // SAFETY: the caller's variable.
        unsafe { write(rates, nvmlUtilization_t { gpu, memory }) }
    })
}

/// `nvmlDeviceGetMemoryInfo_v2`, also of an instance.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    memory: *mut nvmlMemory_v2_t,
) -> nvmlReturn_t {
    part_call("nvmlDeviceGetMemoryInfo_v2", device, |device, instance| {
        // SAFETY: a valid variable of the caller, with its version set.
        if memory.is_null() || unsafe { (*memory).version } != MEMORY_VERSION {
            return Err(code::INVALID_ARGUMENT);
        }
        let get = |what: &str| value(device, &format!("nvmlDeviceGetMemoryInfo_v2:{what}"));
        let (total, used, reserved) = match instance {
            Some(instance) => (instance.memory_total, instance.memory_used, 0),
            None => (get("total")?, get("used")?, get("reserved")?),
        };
        let free = total.saturating_sub(used).saturating_sub(reserved);
        // SAFETY: the caller's variable.
        unsafe { write(memory, nvmlMemory_v2_t { version: MEMORY_VERSION, total, reserved, free, used }) }
    })
}

/// `nvmlDeviceGetFieldValues`: each field succeeds or fails individually.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetFieldValues", device, |device| {
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(code::INVALID_ARGUMENT)?;
        if values.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's array of that length.
        for field in unsafe { std::slice::from_raw_parts_mut(values, count) } {
            let scoped = LINK_FIELDS.contains(&field.fieldId) && field.scopeId != u32::MAX;
            match device.fields.get(&field.fieldId).filter(|_| !scoped) {
                Some(value) => {
                    field.nvmlReturn = code::SUCCESS;
                    field.valueType = UNSIGNED_LONG_LONG;
                    field.value.ullVal = value.count();
                }
                None => field.nvmlReturn = code::NOT_SUPPORTED,
            }
        }
        Ok(())
    })
}

/// `nvmlDeviceGetMigMode`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: nvmlDevice_t,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetMigMode", device, |device| {
        let mode = value(device, "nvmlDeviceGetMigMode")? as c_uint;
        // SAFETY: the caller's variables.
        unsafe { write(current, mode).and_then(|()| write(pending, mode)) }
    })
}

/// `nvmlDeviceGetMaxMigDeviceCount`: seven, as on every GPU that supports MIG.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(
    device: nvmlDevice_t,
    count: *mut c_uint,
) -> nvmlReturn_t {
    // SAFETY: the caller's variable.
    device_call("nvmlDeviceGetMaxMigDeviceCount", device, |_| unsafe { write(count, 7) })
}

/// `nvmlDeviceGetMigDeviceHandleByIndex`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    instance: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    device_call("nvmlDeviceGetMigDeviceHandleByIndex", device, |found| {
        found.instances.get(index as usize).ok_or(code::NOT_FOUND)?;
        // SAFETY: the caller's variable.
        unsafe { write(instance, instance_handle(device, index as usize)) }
    })
}
