//! Reads memory that may be unmapped. The kernel copies it and reports an invalid address as an error.

const PAGE_BYTES: usize = 4096;
/// The size of the driver's largest structure.
const MAX_BYTES: usize = 16 * 1024;

/// Up to `bytes` bytes from `address`; fewer if the mapped memory ends before.
pub(crate) fn read(address: usize, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes.min(MAX_BYTES)];
    let mut got = 0;
    // Page by page, because a read that crosses into an unmapped page fails as a whole.
    while got < read.len() {
        let from = address.wrapping_add(got);
        let length = (PAGE_BYTES - from % PAGE_BYTES).min(read.len() - got);
        let to = libc::iovec { iov_base: read[got..].as_mut_ptr().cast(), iov_len: length };
        let remote = libc::iovec { iov_base: from as *mut _, iov_len: length };
        // SAFETY: `to` is in our buffer, and the kernel checks the other address.
        let moved =
            unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const remote, 1, 0) };
        match usize::try_from(moved) {
            Ok(moved @ 1..) => got += moved,
            _ => break,
        }
    }
    read.truncate(got);
    read
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn memory_is_read_up_to_an_unmapped_page() {
        let bytes = [1u8, 2, 3];
        assert_eq!(read(bytes.as_ptr() as usize, 3), bytes);
        assert!(read(0, 16).is_empty());
        assert!(read(usize::MAX - 2, 16).is_empty());
    }
}
