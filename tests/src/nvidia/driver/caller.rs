//! The memory of the task that waits for an answer. The task may pass invalid pointers and change the memory meanwhile.

use std::io;

/// The caller of one request.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    /// Its thread ID as this process sees it; 0 if it does not.
    pub(super) thread: i32,
}

impl Caller {
    /// Reads all of `into`, or fails.
    pub(super) fn read(self, address: u64, into: &mut [u8]) -> io::Result<()> {
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
        // SAFETY: `local` is `into`; the kernel checks the other process's addresses.
        let read =
            unsafe { libc::process_vm_readv(self.thread, &raw const local, 1, &raw const remote, 1, 0) };
        whole(read, into.len())
    }

    /// Writes all of `from`.
    pub(super) fn write(self, address: u64, from: &[u8]) -> io::Result<()> {
        let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: from.len() };
        // SAFETY: `local` is `from`, which is only read; the kernel checks the other process's addresses.
        let written =
            unsafe { libc::process_vm_writev(self.thread, &raw const local, 1, &raw const remote, 1, 0) };
        whole(written, from.len())
    }
}

fn whole(done: isize, wanted: usize) -> io::Result<()> {
    if done.cast_unsigned() == wanted { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
}
