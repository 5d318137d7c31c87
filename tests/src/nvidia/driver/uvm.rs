//! The answers of `/dev/nvidia-uvm`. Its words do not describe a struct, so the struct is read from the caller's memory and
//! the status is written there.

use super::{
    super::abi::{
        bytes::{u32_at, u64_at},
        status, uvm,
    },
    serve::{Call, Errno, Server},
};

impl Server {
    pub(super) fn uvm(&self, call: &mut Call<'_>) -> Result<Option<u32>, Errno> {
        let release = self.options.release;
        let layout = uvm::layout(release, call.word).ok_or(libc::EINVAL)?;
        let mut params = vec![0; layout.size_bytes];
        call.caller.read(call.argument, &mut params).map_err(|_| libc::EFAULT)?;
        let status = self.uvm_status(call, &params);
        if let Some(at) = layout.status_at {
            let address = call.argument.wrapping_add(at as u64);
            call.caller.write(address, &status.to_le_bytes()).map_err(|_| libc::EFAULT)?;
        }
        Ok(Some(status))
    }

    fn uvm_status(&self, call: &Call<'_>, params: &[u8]) -> u32 {
        let release = self.options.release;
        let (address, bytes) = (u64_at(params, 0), u64_at(params, 8));
        let known = |client_at: usize, object_at: usize| {
            self.state()
                .find(u32_at(params, client_at), u32_at(params, object_at))
                .err()
                .unwrap_or(status::OK)
        };
        match call.word {
            uvm::CREATE_EXTERNAL_RANGE => self.state().add_range(call.file, address, bytes),
            uvm::FREE => self.state().remove_range(call.file, address),
            uvm::MAP_EXTERNAL_ALLOCATION => {
                let tail = uvm::map_tail_at(release);
                let gpus = u64_at(params, tail);
                if gpus == 0 || gpus > uvm::gpus_max(release) as u64 {
                    status::INVALID_ARGUMENT
                } else if !self.state().has_range(call.file, address, bytes) {
                    status::INVALID_ADDRESS
                } else {
                    known(tail + 12, tail + 16)
                }
            }
            uvm::REGISTER_GPU_VASPACE | uvm::REGISTER_CHANNEL => known(20, 24),
            uvm::MIGRATE | uvm::SET_PREFERRED_LOCATION | uvm::VALIDATE_VA_RANGE
                if bytes == 0 || address.checked_add(bytes).is_none() =>
            {
                status::INVALID_ADDRESS
            }
            uvm::MM_INITIALIZE => status::NOTHING_TO_DO,
            _ => status::OK,
        }
    }
}
