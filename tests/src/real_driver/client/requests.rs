//! Sends single requests.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
};

use crate::nvidia::abi::request::Request;

/// Sends a request to a device. The recorder records the answer.
pub(super) fn send(file: &File, request: &mut Request) {
    raw(file.as_raw_fd(), request.word.into(), request.bytes.as_mut_ptr() as usize);
}

/// Sends any word with any argument.
pub(super) fn raw(descriptor: RawFd, word: u64, argument: usize) -> i32 {
    // SAFETY: the driver checks the address and refuses one that is not our memory.
    unsafe { libc::ioctl(descriptor, word, argument) }
}

/// Mapped pages.
pub(super) struct Pages {
    address: *mut libc::c_void,
    bytes: usize,
}

impl Pages {
    /// Maps pages of zeros below 4 GiB, writable unless `read_only`.
    pub(super) fn new(bytes: usize, read_only: bool) -> anyhow::Result<Self> {
        let protection = if read_only { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        anyhow::ensure!(address != libc::MAP_FAILED, "map memory: {}", std::io::Error::last_os_error());
        Ok(Self { address, bytes })
    }

    pub(super) fn address(&self) -> usize {
        self.address as usize
    }

    /// Clears the pages and copies these bytes to an offset.
    pub(super) fn fill(&self, at: usize, content: &[u8]) {
        assert!(at + content.len() <= self.bytes, "write beyond the pages");
        // SAFETY: our own memory, within its bounds, which nothing else uses.
        unsafe {
            let start = self.address.cast::<u8>();
            start.write_bytes(0, self.bytes);
            start.add(at).copy_from_nonoverlapping(content.as_ptr(), content.len());
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping. If this fails, it is unmapped at the end of the process.
        unsafe { libc::munmap(self.address, self.bytes) };
    }
}
