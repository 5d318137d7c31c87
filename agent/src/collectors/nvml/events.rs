//! Xid errors, by NVML's event set. Raw calls: nvml-wrapper frees a set where one GPU refuses to be watched, and with it
//! the others, and panics where a library cannot free one.

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
    /// Its number.
    pub(super) number: u64,
}

impl Xid {
    /// True where it is this GPU's.
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
    /// An empty set.
    ///
    /// # Errors
    /// NVML's, also where the library could not free the set again.
    pub(super) fn new(nvml: &'nvml Nvml) -> Result<Self, NvmlError> {
        let create = nvml_sym(nvml.lib().nvmlEventSetCreate.as_ref())?;
        nvml_sym(nvml.lib().nvmlEventSetFree.as_ref())?;
        let mut set: nvmlEventSet_t = std::ptr::null_mut();
        // SAFETY: `set` lives through the call.
        nvml_try(unsafe { create(&raw mut set) })?;
        Ok(Self { nvml, set, watched: 0 })
    }

    /// Watches this GPU, too.
    ///
    /// # Errors
    /// NVML's.
    pub(super) fn watch(&mut self, device: &Device<'_>) -> Result<(), NvmlError> {
        let register = nvml_sym(self.nvml.lib().nvmlDeviceRegisterEvents.as_ref())?;
        // SAFETY: handle and set come from this library, which is loaded.
        nvml_try(unsafe { register(device.handle(), XID.into(), self.set) })?;
        self.watched += 1;
        Ok(())
    }

    /// Waits for the next error. `None` after `timeout`, and at once where no GPU is watched.
    ///
    /// # Errors
    /// NVML's, such as that a GPU was lost; at once.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Option<Xid>, NvmlError> {
        if self.watched == 0 {
            return Ok(None);
        }
        let wait = nvml_sym(self.nvml.lib().nvmlEventSetWait_v2.as_ref())?;
        // SAFETY: a pointer and plain numbers, for which zero is a value.
        let mut data: nvmlEventData_t = unsafe { std::mem::zeroed() };
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: the set comes from this library, `data` lives through the call.
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
            // SAFETY: the set comes from this library and is not used again. A failure leaves nothing to do.
            unsafe { free(self.set) };
        }
    }
}
