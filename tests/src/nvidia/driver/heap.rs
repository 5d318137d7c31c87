//! The answers of VID_HEAP_CONTROL.

use super::{
    super::abi::{
        bytes::{put_u32, put_u64, u32_at, u64_at},
        class, heap, status,
    },
    serve::{Call, Server},
    state::{Object, granted},
};

impl Server {
    pub(super) fn heap(&self, call: &mut Call<'_>) -> Result<(), u32> {
        let [client, parent, function] = [0, 4, heap::FUNCTION_AT].map(|at| u32_at(call.bytes, at));
        let wanted = u32_at(call.bytes, heap::MEMORY_AT);
        match function {
            heap::ALLOC_SIZE | heap::ALLOC_SIZE_RANGE => {
                let at = heap::size_at(function);
                let bytes = granted(u64_at(call.bytes, at)).filter(|bytes| *bytes > 0);
                let bytes = bytes.ok_or(status::INVALID_ARGUMENT)?;
                let class = placement(u32_at(call.bytes, heap::FLAGS_AT), u32_at(call.bytes, heap::ATTR_AT));
                let charged = if class == class::MEMORY_LOCAL_USER { bytes } else { 0 };
                let object = Object { parent, class, gpu: None, bytes: charged };
                let handle = self.state().add(client, wanted, object)?;
                put_u32(call.bytes, heap::MEMORY_AT, handle);
                put_u64(call.bytes, at, bytes);
                Ok(())
            }
            heap::FREE => self.state().free(client, wanted),
            heap::ALLOC_OS_DESCRIPTOR => {
                let wanted = u32_at(call.bytes, heap::DESCRIPTOR_MEMORY_AT);
                let place = (u64_at(call.bytes, 64), u64_at(call.bytes, 72));
                let handle = self.pin(call, client, parent, wanted, class::MEMORY_OS_DESCRIPTOR, place)?;
                put_u32(call.bytes, heap::DESCRIPTOR_MEMORY_AT, handle);
                Ok(())
            }
            _ => Err(status::NOT_SUPPORTED),
        }
    }
}

/// The class that follows from an allocation's flags and attributes.
fn placement(flags: u32, attr: u32) -> u32 {
    match attr >> 25 & 3 {
        _ if flags & heap::FLAG_VIRTUAL != 0 => class::MEMORY_VIRTUAL,
        0 => class::MEMORY_LOCAL_USER,
        _ => class::MEMORY_SYSTEM,
    }
}
