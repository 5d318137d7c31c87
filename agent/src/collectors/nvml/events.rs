//! Xid errors from NVML's event set. NVML is called directly: if one GPU cannot be watched, nvml-wrapper frees the set,
//! and with it the watches of the others, and it panics if the library cannot free a set.

use std::time::Duration;

use nvml_wrapper::{
    Device, Nvml,
    error::{NvmlError, nvml_sym, nvml_try},
};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t, nvmlEventTypeXidCriticalError as XID,
};

/// An Xid error.
pub(super) struct Xid {
    device: nvmlDevice_t,
    /// The Xid number.
    pub(super) number: u64,
}

impl Xid {
    /// True if the error is from this GPU.
    pub(super) fn is_of(&self, device: &Device<'_>) -> bool {
        // SAFETY: the handle is only compared.
        self.device == unsafe { device.handle() }
    }
}

/// Watches GPUs for Xid errors.
pub(super) struct Xids<'nvml> {
    nvml: &'nvml Nvml,
    set: nvmlEventSet_t,
    watched: usize,
}

impl<'nvml> Xids<'nvml> {
    /// Creates an empty set.
    ///
    /// # Errors
    /// An error of NVML, also if the library lacks the function that frees the set.
    pub(super) fn new(nvml: &'nvml Nvml) -> Result<Self, NvmlError> {
        let create = nvml_sym(nvml.lib().nvmlEventSetCreate.as_ref())?;
        nvml_sym(nvml.lib().nvmlEventSetFree.as_ref())?;
        let mut set: nvmlEventSet_t = std::ptr::null_mut();
        // SAFETY: `set` is valid during the call.
        nvml_try(unsafe { create(&raw mut set) })?;
        Ok(Self { nvml, set, watched: 0 })
    }

    /// Adds this GPU to the watched ones.
    ///
    /// # Errors
    /// An error of NVML.
    pub(super) fn watch(&mut self, device: &Device<'_>) -> Result<(), NvmlError> {
        let register = nvml_sym(self.nvml.lib().nvmlDeviceRegisterEvents.as_ref())?;
        // SAFETY: the handle and the set come from this library, which is loaded.
        nvml_try(unsafe { register(device.handle(), XID.into(), self.set) })?;
        self.watched += 1;
        Ok(())
    }

    /// Waits for the next error. Returns `None` after `timeout`, and immediately if no GPU is watched.
    ///
    /// # Errors
    /// An error of NVML, for example that a GPU was lost, without waiting for the timeout.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Option<Xid>, NvmlError> {
        if self.watched == 0 {
            return Ok(None);
        }
        let wait = nvml_sym(self.nvml.lib().nvmlEventSetWait_v2.as_ref())?;
        // SAFETY: the structure consists of a pointer and integers, for which all zeros are valid.
        let mut data: nvmlEventData_t = unsafe { std::mem::zeroed() };
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: the set comes from this library, and `data` is valid during the call.
        match nvml_try(unsafe { wait(self.set, &raw mut data, timeout_ms) }) {
            Ok(()) if data.eventType & u64::from(XID) != 0 => {
                Ok(Some(Xid { device: data.device, number: data.eventData }))
            }
            Ok(()) | Err(NvmlError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Xids<'_> {
    fn drop(&mut self) {
        if let Ok(free) = &self.nvml.lib().nvmlEventSetFree {
            // SAFETY: the set comes from this library and is not used again. If the call fails, there is nothing left
            // to do.
            unsafe { free(self.set) };
        }
    }
}
