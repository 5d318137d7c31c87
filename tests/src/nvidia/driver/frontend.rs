//! The answers of `/dev/nvidiactl` and `/dev/nvidiaN`.

use super::{
    super::abi::{
        Device,
        bytes::{put, put_u32, put_u64, u32_at, u64_at},
        class,
        frontend::{self as abi, CARD_BYTES},
        heap, status,
    },
    GPUS,
    serve::{Call, Errno, Server},
    state::{Object, granted},
};

/// Maximum size of a control's parameters (`RMAPI_PARAM_COPY_MAX_PARAMS_SIZE`).
const CONTROL_MAX_BYTES: u32 = 1 << 20;

impl Server {
    /// The status of the answer, if the request has one.
    pub(super) fn frontend(&self, call: &mut Call<'_>) -> Result<Option<u32>, Errno> {
        if call.word >> 8 & 0xff != abi::MAGIC || call.word >> 30 != 3 {
            return Err(libc::EINVAL);
        }
        let number = call.word & 0xff;
        if number != abi::XFER {
            return self.escape(call, number);
        }
        let (number, length) = (u32_at(call.bytes, 0), u32_at(call.bytes, 4) as usize);
        if call.bytes.len() != 16 || length > abi::XFER_MAX_BYTES || number == abi::XFER {
            return Err(libc::EINVAL);
        }
        let address = u64_at(call.bytes, 8);
        let mut inner = vec![0; length];
        call.caller.read(address, &mut inner).map_err(|_| libc::EFAULT)?;
        let answer = self.escape(&mut Call { bytes: &mut inner, ..*call }, number)?;
        call.caller.write(address, &inner).map_err(|_| libc::EFAULT)?;
        Ok(answer)
    }

    fn escape(&self, call: &mut Call<'_>, number: u32) -> Result<Option<u32>, Errno> {
        let layout = abi::layout(self.options.release, number).ok_or(libc::EINVAL)?;
        let short = number == abi::ALLOC && call.bytes.len() == abi::ALLOC_SHORT_BYTES;
        let fits = match number {
            abi::CARD_INFO => !call.bytes.is_empty() && call.bytes.len().is_multiple_of(CARD_BYTES),
            _ => short || call.bytes.len() == layout.size_bytes,
        };
        if !fits || !accepts(call.device, number, u32_at(call.bytes, 12)) {
            return Err(libc::EINVAL);
        }
        let Some(status_at) = layout.status_at else {
            return self.plain(call, number).map(|()| None);
        };
        let status = match number {
            abi::ALLOC => self.alloc(call, short)?,
            abi::VID_HEAP_CONTROL => self.heap(call),
            _ => self.object(call, number),
        }
        .err()
        .unwrap_or(status::OK);
        put_u32(call.bytes, if short { 28 } else { status_at }, status);
        Ok(Some(status))
    }

    /// Requests that answer only with the return value of `ioctl`.
    fn plain(&self, call: &mut Call<'_>, number: u32) -> Result<(), Errno> {
        match number {
            abi::CARD_INFO => {
                for (gpu, card) in call.bytes.chunks_exact_mut(CARD_BYTES).enumerate() {
                    card.fill(0);
                    if gpu < GPUS {
                        put_card(card, gpu as u32, self.options.memory_mib << 20);
                    }
                }
            }
            abi::REGISTER_FD if u32_at(call.bytes, 0).cast_signed() < 0 => return Err(libc::EINVAL),
            abi::CHECK_VERSION => {
                let release = self.options.release.to_string();
                let asked = call.bytes.get(8..).and_then(|text| text.split(|byte| *byte == 0).next());
                // Command '2' is only a query.
                let matches = asked == Some(release.as_bytes()) || u32_at(call.bytes, 0) == u32::from(b'2');
                if !matches {
                    return Err(libc::EINVAL);
                }
                put_u32(call.bytes, 4, 1);
                put(call.bytes, 8, &[0; 64]);
                put(call.bytes, 8, release.as_bytes());
            }
            // The size of a block of memory that can be taken offline.
            abi::SYS_PARAMS => put_u64(call.bytes, 0, 128 << 20),
            _ => {}
        }
        Ok(())
    }

    /// RM_ALLOC of a client or an object. The outer result fails only if the answer cannot be delivered.
    fn alloc(&self, call: &mut Call<'_>, short: bool) -> Result<Result<(), u32>, Errno> {
        let [root, parent, new, class] = [0, 4, 8, 12].map(|at| u32_at(call.bytes, at));
        let params = u64_at(call.bytes, 16);
        let params_bytes = u32_at(call.bytes, if short { 24 } else { 32 });
        let added = if class::ROOTS.contains(&class) {
            self.state().begin_client(call.file, new)
        } else {
            match self.describe(call, class, params, params_bytes) {
                Ok(object) => {
                    let bytes = object.bytes;
                    let added = self.state().add(root, new, Object { parent, ..object });
                    if added.is_ok() && bytes > 0 {
                        let address = params.wrapping_add(heap::PARAMS_SIZE_AT as u64);
                        call.caller.write(address, &bytes.to_le_bytes()).map_err(|_| libc::EFAULT)?;
                    }
                    added
                }
                Err(status) => Err(status),
            }
        };
        Ok(added.map(|handle| put_u32(call.bytes, 8, handle)))
    }

    /// The properties of the object to allocate, without its parent.
    fn describe(&self, call: &Call<'_>, class: u32, params: u64, params_bytes: u32) -> Result<Object, u32> {
        if !class::exists(class) {
            return Err(status::INVALID_CLASS);
        }
        let mut object = Object { parent: 0, class, gpu: None, bytes: 0 };
        let read = |into: &mut [u8]| call.caller.read(params, into).map_err(|_| status::INVALID_ADDRESS);
        match class {
            class::DEVICE if params != 0 => {
                let mut number = [0; 4];
                read(&mut number)?;
                let gpu = u32::from_le_bytes(number) as usize;
                object.gpu = Some(gpu).filter(|gpu| *gpu < GPUS);
                object.gpu.ok_or(status::INVALID_ARGUMENT)?;
            }
            class::DEVICE => object.gpu = Some(0),
            class::MEMORY_LOCAL_USER | class::MEMORY_SYSTEM | class::MEMORY_VIRTUAL => {
                let size = heap::params_bytes(self.options.release);
                if params_bytes != 0 && params_bytes as usize != size {
                    return Err(status::INVALID_ARGUMENT);
                }
                let mut asked = vec![0; size];
                read(&mut asked)?;
                let bytes = granted(u64_at(&asked, heap::PARAMS_SIZE_AT)).filter(|bytes| *bytes > 0);
                let bytes = bytes.ok_or(status::INVALID_ARGUMENT)?;
                object.bytes = if class == class::MEMORY_LOCAL_USER { bytes } else { 0 };
            }
            _ => {}
        }
        Ok(object)
    }

    /// Requests for existing objects.
    fn object(&self, call: &Call<'_>, number: u32) -> Result<(), u32> {
        let [client, object, third] = [0, 4, 8].map(|at| u32_at(call.bytes, at));
        match number {
            abi::FREE => self.state().free(client, third),
            abi::CONTROL => {
                self.state().find(client, object)?;
                let (params, length) = (u64_at(call.bytes, 16), u32_at(call.bytes, 24));
                if length > CONTROL_MAX_BYTES || (params == 0) != (length == 0) {
                    return Err(status::INVALID_ARGUMENT);
                }
                let mut head = [0; 64];
                if let Some(head) = head.get_mut(..64.min(length as usize)).filter(|head| !head.is_empty()) {
                    call.caller.read(params, head).map_err(|_| status::INVALID_ADDRESS)?;
                }
                if self.options.unsupported.contains(&third) { Err(status::NOT_SUPPORTED) } else { Ok(()) }
            }
            abi::ALLOC_MEMORY => {
                let class = u32_at(call.bytes, 12);
                let (address, limit) = (u64_at(call.bytes, 24), u64_at(call.bytes, 32));
                self.pin(call, client, object, third, class, (address, limit)).map(|_| ())
            }
            abi::MAP_MEMORY | abi::UNMAP_MEMORY => self.state().find(client, third),
            abi::MAP_MEMORY_DMA => self.state().find(client, u32_at(call.bytes, 12)),
            abi::UNMAP_MEMORY_DMA => self.state().find(client, u32_at(call.bytes, 12)),
            abi::ALLOC_OS_EVENT | abi::FREE_OS_EVENT if third.cast_signed() < 0 => {
                Err(status::INVALID_ARGUMENT)
            }
            abi::ALLOC_OS_EVENT | abi::FREE_OS_EVENT => self.state().find(client, client),
            _ => Ok(()),
        }
    }

    /// Pins pages of the caller, which must exist: from an address up to and including an offset.
    pub(super) fn pin(
        &self,
        call: &Call<'_>,
        client: u32,
        parent: u32,
        wanted: u32,
        class: u32,
        (address, limit): (u64, u64),
    ) -> Result<u32, u32> {
        if class != class::MEMORY_OS_DESCRIPTOR {
            return Err(status::INVALID_CLASS);
        }
        for at in [address, address.wrapping_add(limit)] {
            call.caller.read(at, &mut [0]).map_err(|_| status::INVALID_ADDRESS)?;
        }
        self.state().add(client, wanted, Object { parent, class, gpu: None, bytes: 0 })
    }
}

/// Whether this node accepts the request. Both kinds accept the requests that are not listed.
fn accepts(device: Device, number: u32, class: u32) -> bool {
    match number {
        abi::ALLOC => device == Device::Ctl || class::is_event(class),
        abi::ALLOC_MEMORY | abi::NUMA_INFO => device == Device::Gpu,
        abi::REGISTER_FD | abi::ALLOC_OS_EVENT | abi::FREE_OS_EVENT => true,
        _ => device == Device::Ctl,
    }
}

/// `nv_ioctl_card_info_t`
fn put_card(card: &mut [u8], gpu: u32, memory_bytes: u64) {
    put_u32(card, 0, 1);
    put(card, 8, &[0x41 + gpu as u8, 0]);
    put(card, 12, &0x10DE_u16.to_le_bytes());
    put(card, 14, &0x2330_u16.to_le_bytes());
    put_u32(card, 16, 0x4100 + (gpu << 8));
    put_u64(card, 48, memory_bytes);
    put_u32(card, 56, gpu);
}
